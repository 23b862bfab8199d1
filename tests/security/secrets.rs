//! No secret in anything that the program shows, wherever it was given: canaries go in, and whatever comes out is searched.

use crate::{
    kafka::{eventually, free_port},
    kafka_tls,
    life::{Life, with},
    postgres,
    support::program::program,
};
use std::{fs, process::Output};

/// Every secret here holds it, and nothing else does.
const CANARY: &str = "canary";
const STATE: &str = "postgres://flow:canary-url@127.0.0.1:1/state?sslmode=disable";

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Runs it to its end; both streams, which hold no canary.
fn clean(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = with(program(arguments), settings).current_dir(&folder).output().unwrap();
    let shown = shown(&output);
    assert!(!shown.contains(CANARY), "{arguments:?} {settings:?}: {shown}");
    assert!(!shown.is_empty(), "{arguments:?}");
    shown
}

#[test]
fn config_show_masks_what_comes_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.toml");
    let text = format!(
        "log_database = \"{STATE}\"\n[kafka]\n\"sasl.password\" = \"canary-file\"\n\"ssl.key.pem\" = \"canary-pem\"\n\
         \"sasl.oauthbearer.client.secret\" = \"canary-oauth\"\n\"sasl.oauthbearer.config\" = \"canary-config\"\n"
    );
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    for format in ["table", "toml"] {
        let arguments = ["config", "show", "--format", format, "--config", &file, "--state", STATE];
        let flags = ["--set", "kafka.ssl.keystore.password=canary-flag"];
        let environment = [("kafka.ssl.key.password", "canary-environment")];
        let shown = clean(&[&arguments[..], &flags].concat(), &environment);
        assert!(shown.matches("***").count() >= 8, "they are there, but masked: {shown}");
    }
}

#[test]
fn errors_do_not_quote_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let broken = file("broken.toml", "[kafka]\n\"sasl.password\" = \"canary-file\n");
    let list = file("list.toml", "[kafka]\n\"sasl.password\" = [\"canary-file\"]\n");
    let address = file("address.toml", "state = \"postgres://flow:canary/url@db/state\"\n");
    let cases: [&[&str]; 16] = [
        &["run", "--config", &broken],
        &["run", "--config", &list],
        &["run", "--config", &address],
        &["run", "--state", "postgres:flow:canary@db/state"],
        &["run", "--state", "postgres://flow:canary@db:port/state"],
        &["run", "--log-database", "mysql://flow:canary@db/logs"],
        &["run", "--set", "kafka.no.such.password=canary"],
        &["run", "--set", "kafka.sasl.password=canary", "--set", "kafka.security.protocol=NONE"],
        &["run", "--set", "kafka.security.protocol=SASL_SSL", "--set", "kafka.ssl.key.pem=canary"],
        &["generate", "--jobs", "1", "--brokers", "127.0.0.1:1", "--set", "kafka.no.such.password=canary"],
        &["generate", "--jobs", "1", "--brokers", "127.0.0.1:1", "--set", "kafka.ssl.key.pem=canary"],
        &["state", "show", "--state", STATE],
        &["state", "verify", "--state", STATE],
        &["state", "export", "--state", STATE, "file"],
        &["state", "reset", "--to", "earliest", "--yes", "--state", STATE],
        &["retention", "policy", "list", "--log-database", STATE, "--state", STATE],
    ];
    for arguments in cases {
        // the state of `run` lies where it runs, its port is any
        let port = [("listen", "127.0.0.1:0")];
        assert!(clean(arguments, &port).contains("error: "), "{arguments:?}");
    }
}

#[test]
fn nothing_that_is_served_or_logged_holds_a_secret() {
    if !kafka_tls::built_in() {
        return;
    }
    let Some(server) = postgres::shared() else { return };
    let database = server.database();
    server.sql(&database, "CREATE ROLE bird SUPERUSER LOGIN PASSWORD 'canary-database'");
    let url = server.url_as("bird", "canary-database", &database);
    // nobody is there: what is said of it is searched, too
    let brokers = format!("127.0.0.1:{}", free_port());
    let mut life = Life::start(&[
        ("brokers", &brokers),
        ("state", &url),
        ("log_database", &url),
        ("log_level", "trace"),
        ("kafka.debug", "all"),
        ("kafka.security.protocol", "SASL_SSL"),
        ("kafka.sasl.mechanism", "SCRAM-SHA-512"),
        ("kafka.sasl.username", "flow"),
        ("kafka.sasl.password", "canary-sasl"),
        ("kafka.ssl.key.password", "canary-key"),
    ]);
    let readiness = eventually("the check of Kafka fails", || {
        life.must_live();
        let (_, body) = life.get("/readyz")?;
        body.contains(&brokers).then_some(body)
    });
    let mut pages = vec![readiness];
    for path in ["/", "/healthz", "/metrics", "/api/v1/snapshot", "/api/v1/retention", "/nowhere"] {
        let (_, body) = life.get(path).expect("it answers");
        assert!(!body.is_empty(), "{path}");
        pages.push(body);
    }
    let said = eventually("it logs", || Some(life.said()).filter(|said| said.contains("librdkafka")));
    let whole_lines = said.rsplit_once('\n').expect("a line that has ended").0.lines();
    for line in whole_lines {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "a line of the log that is no JSON: {line}");
    }
    pages.push(said);
    for page in pages {
        assert!(!page.contains(CANARY), "{page}");
    }
}
