//! Whether two paths lead to one file: what is written must be neither what is read nor what is kept.
//!
//! Only files count: a pipe, a terminal or `/dev/null` may be named as often as one likes.

use crate::store::StateUrl;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What SQLite puts behind a file's name for those that it has beside it.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];
/// More of them in a row lead nowhere, as the kernel has it.
const MOST_LINKS: usize = 40;

/// Whether what is written to the one would be found in the other, whether it is there already or not.
#[must_use]
pub fn same_file(one: &Path, other: &Path) -> bool {
    file_at(one).is_some_and(|file| file_at(other) == Some(file))
}

/// The first of these databases that has one of its files where a path leads to.
#[must_use]
pub fn database_at<'a>(
    path: &Path,
    databases: impl IntoIterator<Item = Option<&'a StateUrl>>,
) -> Option<&'a StateUrl> {
    databases.into_iter().flatten().find(|url| is_of(path, url))
}

/// Whether a path leads to one of the files in which SQLite keeps this database.
fn is_of(path: &Path, database: &StateUrl) -> bool {
    let Some(file) = database.path() else { return false };
    // the others lie beside the file, not beside a link to it
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    BESIDE.iter().any(|suffix| {
        let mut name = file.clone().into_os_string();
        name.push(suffix);
        same_file(path, Path::new(&name))
    })
}

#[derive(PartialEq, Eq)]
enum File {
    There { device: u64, inode: u64 },
    NotYet(PathBuf),
}

/// `None`: no file, and none would come of writing there.
fn file_at(path: &Path) -> Option<File> {
    match fs::metadata(path) {
        Ok(there) => there.is_file().then(|| File::There { device: there.dev(), inode: there.ino() }),
        Err(_) => not_yet(path.to_owned()).map(File::NotYet),
    }
}

/// The whole name under which it would be made.
fn not_yet(mut path: PathBuf) -> Option<PathBuf> {
    for _ in 0..MOST_LINKS {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let whole = parent.canonicalize().ok()?.join(path.file_name()?);
        match whole.read_link() {
            // a relative one starts where the link lies
            Ok(to) => path = whole.parent()?.join(to),
            Err(_) => return Some(whole),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_known_under_each_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("below")).unwrap();
        for name in ["there", "other"] {
            fs::write(at(name), "").unwrap();
        }
        fs::hard_link(at("there"), at("hard")).unwrap();
        symlink("there", at("soft")).unwrap();
        symlink("absent", at("dangling")).unwrap();
        symlink("ring", at("ring")).unwrap();
        for (one, other) in [
            ("there", "below/../there"),
            ("there", "hard"),
            ("soft", "hard"),
            ("absent", "below/../absent"),
            ("dangling", "absent"),
        ] {
            assert!(same_file(&at(one), &at(other)) && same_file(&at(other), &at(one)), "{one} {other}");
        }
        for (one, other) in
            [("there", "other"), ("there", "absent"), ("absent", "missing"), ("ring", "ring"), ("below", "below")]
        {
            assert!(!same_file(&at(one), &at(other)) && !same_file(&at(other), &at(one)), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_file_is_none_twice() {
        for device in ["/dev/null", "/dev/zero"] {
            assert!(!same_file(Path::new(device), Path::new(device)), "{device}");
        }
    }

    #[test]
    fn a_database_has_files_beside_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.db"), "").unwrap();
        symlink("a.db", at("link.db")).unwrap();
        for database in [StateUrl::sqlite(at("a.db")), StateUrl::sqlite(at("link.db"))] {
            for name in ["a.db", "a.db-wal", "a.db-shm", "a.db-journal"] {
                assert!(is_of(&at(name), &database), "{name} of {database}");
            }
            assert!(!is_of(&at("a.db-old"), &database) && !is_of(&at("b.db"), &database), "{database}");
        }
        let absent = StateUrl::sqlite(at("absent.db"));
        assert!(is_of(&at("absent.db"), &absent) && is_of(&at("absent.db-wal"), &absent));
        let far: StateUrl = "postgres://db/state".parse().unwrap();
        assert!(!is_of(&at("a.db"), &far));
    }
}
