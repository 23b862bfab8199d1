//! Where a database is: `sqlite:PATH` or `postgres://...`, checked as it is read, its password never shown.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What is shown in place of a password.
const MASK: &str = "***";

/// What may stand behind the `?`. An unknown name is refused: the driver would only warn, and print its value.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// What `sslmode` may be.
const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A valid address of a database. `Display` and `Debug` mask its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub(crate) Place);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    /// The whole URL.
    Postgres(String),
}

/// Why a text is no [`DatabaseUrl`]. It never quotes the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl DatabaseUrl {
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }

    /// The file, where it is SQLite.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Sqlite(path) => Some(path),
            Place::Postgres(_) => None,
        }
    }

    /// Whether what is shown is less than what was given.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(&self.0, Place::Postgres(url) if masked(url) != *url)
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let refused = |why: &str| Err(UrlError(why.to_owned()));
        match text.split_once(':') {
            Some(("sqlite", path)) => sqlite(path).map(|path| Self(Place::Sqlite(path))),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                postgres(text).map(|()| Self(Place::Postgres(text.to_owned())))
            }
            Some(("postgres" | "postgresql", _)) => refused("`//` is missing behind `postgres:`"),
            _ => refused("it begins with neither `sqlite:` nor `postgres://`"),
        }
    }
}

/// `sqlite://PATH` is how other programs write it.
fn sqlite(path: &str) -> Result<PathBuf, UrlError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    let why = match path {
        "" => "there is no path behind `sqlite:`",
        ":memory:" => "what is in memory would not survive; give a file",
        _ if path.contains('?') => "`sqlite:PATH` takes no parameters",
        _ if path.ends_with('/') => "the path is a directory's; give a file",
        _ => return Ok(PathBuf::from(path)),
    };
    Err(UrlError(why.to_owned()))
}

fn postgres(url: &str) -> Result<(), UrlError> {
    let parts = Parts::of(url);
    if url.contains('#') || parts.path.contains('@') || parts.query.contains('@') {
        let why = "`/`, `?`, `#` and `@` in a name or password are written `%2F`, `%3F`, `%23` and `%40`";
        return Err(UrlError(why.to_owned()));
    }
    // as where parameters are put behind an address that has some: the second ones would be lost in a value
    if parts.query.contains('?') {
        return Err(UrlError(
            "there is a second `?`: the first parameter stands behind a `?`, each further one behind a `&`"
                .to_owned(),
        ));
    }
    for pair in parts.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !PARAMETERS.contains(&name) {
            let allowed = PARAMETERS.join(", ");
            return Err(UrlError(format!("a parameter behind the `?` is none of these: {allowed}")));
        }
        // one written with `%` is left to the driver
        if name == "sslmode" && !value.contains('%') && PgSslMode::from_str(value).is_err() {
            return Err(UrlError(format!("`sslmode` is none of these: {}", MODES.join(", "))));
        }
    }
    // the driver wraps its reason, once or twice
    let reason = |error: sqlx::Error| error.to_string().trim_start_matches("error with configuration: ").to_owned();
    PgConnectOptions::from_str(url).map(drop).map_err(|error| UrlError(reason(error)))
}

/// A URL cut where a password may lie; the parts and what separates them are the whole.
struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    /// With the colon in front.
    password: &'a str,
    /// From the `@` on, or all of the authority.
    host: &'a str,
    path: &'a str,
    /// Without the `?`.
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, host) = authority.split_at(authority.rfind('@').unwrap_or(0));
        let (user, password) = credentials.split_at(credentials.find(':').unwrap_or(credentials.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Self { scheme, user, password, host, path, query }
    }
}

fn masked(url: &str) -> String {
    let Parts { scheme, user, password, host, path, query } = Parts::of(url);
    let password = if password.len() > 1 { format!(":{MASK}") } else { password.to_owned() };
    let pairs: Vec<_> = query.split('&').map(masked_pair).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}{user}{password}{host}{path}{mark}{}", pairs.join("&"))
}

/// The files that an address of PostgreSQL names, by parameter; those written with `%` are left to the driver.
pub(crate) fn named_files(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = Parts::of(url).query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, file)| matches!(*name, "sslrootcert" | "sslcert" | "sslkey") && !file.contains('%'))
}

fn masked_pair(pair: &str) -> String {
    if pair.starts_with("password=") { format!("password={MASK}") } else { pair.to_owned() }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(url) => f.write_str(&masked(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_path_is_the_same() {
        for (text, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite://a.db", "a.db"),
            ("sqlite:/var/lib/a.db", "/var/lib/a.db"),
            ("sqlite:///var/lib/a.db", "/var/lib/a.db"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.path(), Some(Path::new(path)), "{text}");
            assert_eq!(url.to_string(), format!("sqlite:{path}"));
            assert!(!url.is_secret());
        }
    }

    #[test]
    fn a_password_is_masked_wherever_it_may_stand() {
        for (text, shown) in [
            ("postgres://flow:hunter2@db:5432/state", "postgres://flow:***@db:5432/state"),
            ("postgresql://flow:hunter2@db/state?sslmode=require", "postgresql://flow:***@db/state?sslmode=require"),
            ("postgres://db/state?user=a&password=hunter2", "postgres://db/state?user=a&password=***"),
            ("postgres://flow@db/state", "postgres://flow@db/state"),
            ("postgres://flow:hunter@2@db/state", "postgres://flow:***@db/state"),
            ("postgres:///state?host=/run/postgresql", "postgres:///state?host=/run/postgresql"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(url.is_secret(), text != shown, "{text}");
        }
    }

    #[test]
    fn the_files_it_names_are_found() {
        let url = "postgres://u:p@db/state?sslmode=verify-full&sslrootcert=/etc/ca.crt&sslkey=%2Fetc%2Fkey";
        assert_eq!(named_files(url).collect::<Vec<_>>(), [("sslrootcert", "/etc/ca.crt")]);
        assert_eq!(named_files("postgres://db/state").count(), 0);
    }

    #[test]
    fn a_mode_of_tls_that_there_is_not_is_refused_with_those_that_there_are() {
        for mode in MODES {
            assert!(format!("postgres://db/state?sslmode={mode}").parse::<DatabaseUrl>().is_ok(), "{mode}");
        }
        let error = "postgres://db/state?sslmode=verify_full".parse::<DatabaseUrl>().unwrap_err().to_string();
        assert_eq!(error, "`sslmode` is none of these: disable, allow, prefer, require, verify-ca, verify-full");
        let error = "postgres://db:port/state".parse::<DatabaseUrl>().unwrap_err().to_string();
        assert!(!error.contains("configuration"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_quoted() {
        for text in [
            "",
            "hunter2.db",
            "/var/lib/hunter2.db",
            "mysql://u:hunter2@db/x",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:hunter2.db?mode=ro",
            "sqlite:/var/lib/hunter2/",
            "postgres:u:hunter2@db",
            "postgres://u:hunter2/x@db/state",
            "postgres://u:12/hunter2@db/state",
            "postgres://u:hunter2#x@db/state",
            "postgres://u:p@db:hunter2/state",
            "postgres://u:p@db/state?passwort=hunter2",
            "postgres://u:p@db/state?sslmode=hunter2",
            "postgres://u:hunter2@db/state?application_name=x?sslmode=verify-full",
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{text}: {error}");
            assert!(!error.to_string().is_empty());
        }
    }
}
