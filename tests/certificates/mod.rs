//! Certificates for tests, made by `openssl` (Debian: `apt install openssl`): an authority, a server that it vouches for,
//! and a second authority that nobody trusts. Without the program a test says SKIPPED on standard error and passes.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// What the private key of the client's certificate is locked with.
pub const KEY_PASSWORD: &str = "canary-key-password";

pub struct Certificates(TempDir);

impl Certificates {
    /// `None`: SKIPPED.
    pub fn make() -> Option<Self> {
        let version = Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let line = format!("SKIPPED {test}: there is no `openssl`; Debian: apt install openssl\n");
            std::io::stderr().write_all(line.as_bytes()).expect("standard error");
            return None;
        }
        let made = Self(tempfile::tempdir().expect("a directory"));
        for authority in ["ca", "stranger"] {
            made.openssl(&format!(
                "req -x509 -newkey rsa:2048 -noenc -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.crt"
            ));
        }
        made.signed("server", "subjectAltName=IP:127.0.0.1");
        made.signed("client", "extendedKeyUsage=clientAuth");
        let pass = format!("-passout pass:{KEY_PASSWORD}");
        made.openssl(&format!("pkcs8 -topk8 -in client.key -out client.locked.key -v2 aes-256-cbc {pass}"));
        // as Kafka reads it: a key and the certificates that belong to it in one file
        let (key, certificate) = (made.read("server.key"), made.read("server.crt"));
        fs::write(made.path("server.pem"), format!("{key}{certificate}")).expect("it is written");
        Some(made)
    }

    /// A key, and a certificate for it by the authority.
    fn signed(&self, name: &str, extension: &str) {
        fs::write(self.path("extension"), extension).expect("it is written");
        self.openssl(&format!("req -newkey rsa:2048 -noenc -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out {name}.crt"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let output = command.args(arguments.split(' ')).current_dir(self.0.path()).output().expect("openssl runs");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it was made")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }
}
