//! PostgreSQL by TLS, for the state and for the log database: the right certificate is taken, any other refused at once,
//! with a sentence that names what to look at.

use crate::{certificates::Certificates, postgres::Server, support::program::program};
use gocdnext_flow::{
    logs::LogDatabase,
    store::{StateUrl, Store, StoreError},
};
use std::{path::Path, process::Output};
use tokio::runtime::Runtime;

struct Secured {
    server: Server,
    certificates: Certificates,
    database: String,
}

/// A server of one's own that takes nobody without TLS. `None`: SKIPPED.
fn secured() -> Option<Secured> {
    let certificates = Certificates::make()?;
    let server = Server::start_secured(certificates.folder())?;
    let database = server.database();
    Some(Secured { server, certificates, database })
}

impl Secured {
    fn url(&self, query: &str) -> String {
        format!("{}?{query}", self.server.url(&self.database))
    }

    fn trusting(&self, authority: &str) -> String {
        self.url(&format!("sslmode=verify-full&sslrootcert={}", self.certificates.path(authority).display()))
    }
}

fn replay(state: &str, log: &Path) -> Output {
    program(&["replay", "--metrics-out", "/dev/null", "--state", state]).arg(log).output().unwrap()
}

#[test]
fn the_right_certificate_is_taken_and_any_other_refused() {
    let Some(secured) = secured() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.ndjson");
    let made = program(&["generate", "--jobs", "20", "--seed", "7", "--out"]).arg(&log).output().unwrap();
    assert!(made.status.success(), "{made:?}");

    let trusted = secured.trusting("ca.crt");
    let kept = replay(&trusted, &log);
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    let rows = secured.server.sql(&secured.database, "SELECT count(*) > 0 FROM gocdnext_flow_blob");
    assert_eq!(rows, "t", "the state lies there");
    let runtime = Runtime::new().unwrap();
    runtime.block_on(LogDatabase::open(&trusted.parse().unwrap())).unwrap();

    let absent = folder.path().join("absent.crt").display().to_string();
    let other_name = trusted.replace("127.0.0.1", "localhost");
    for (url, why) in [
        (secured.trusting("stranger.crt"), "`sslrootcert`"),
        (secured.url("sslmode=verify-full"), "`sslrootcert`"),
        (other_name, "the host's name"),
        (secured.url(&format!("sslmode=verify-full&sslrootcert={absent}")), absent.as_str()),
    ] {
        let refused = replay(&url, &log);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{url}");
        assert!(said.contains(why) && !said.contains("flow:right@"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        // not tried again and again
        let store = runtime.block_on(Store::open(&url.parse::<StateUrl>().unwrap()));
        assert!(matches!(store, Err(StoreError::Definite { .. })), "{store:?}");
        let logs = runtime.block_on(LogDatabase::open(&url.parse().unwrap()));
        assert!(logs.is_err_and(|error| error.to_string().contains(why)), "{url}");
    }
}

#[test]
fn a_server_that_wants_tls_refuses_who_comes_without() {
    let Some(secured) = secured() else { return };
    let url: StateUrl = secured.url("sslmode=disable").parse().unwrap();
    let error = Runtime::new().unwrap().block_on(Store::open(&url)).unwrap_err();
    assert!(matches!(error, StoreError::Definite { .. }), "{error}");
    assert!(error.to_string().contains("no encryption"), "{error}");
    // the default takes TLS where the server offers it
    let url: StateUrl = secured.server.url(&secured.database).parse().unwrap();
    Runtime::new().unwrap().block_on(Store::open(&url)).unwrap();
}
