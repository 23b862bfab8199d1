//! `export` and `import`: backup and restore, and the way from one database to the other.

use crate::{
    kafka::{broker, producer, send_runs},
    life::{Life, run},
    postgres,
    support::{Demo, Scratch, flow, shown, state, told, url},
};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

fn export(from: &str, to: &Path) {
    state(&["export", to.to_str().unwrap()], from).success();
}

fn import(from: &Path, more: &[&str], to: &str) -> crate::support::Told {
    state(&[&["import", from.to_str().unwrap()][..], more].concat(), to)
}

/// What a file holds behind its two lines of text, without the checksum of these too.
fn blobs(file: &Path) -> Vec<u8> {
    let content = zstd::decode_all(fs::File::open(file).unwrap()).unwrap();
    let behind = content.splitn(3, |byte| *byte == b'\n').nth(2).unwrap();
    behind[..behind.len() - 4].to_vec()
}

/// All that `show` tells of what is stored, without what belongs to the place.
fn held(url: &str) -> [serde_json::Value; 7] {
    let report = shown(url);
    ["topic", "topic_id", "shown", "offsets", "stream_time", "holds", "trouble"].map(|part| report[part].clone())
}

fn must_be_well(url: &str) {
    assert!(state(&["verify"], url).success().ends_with("all is well\n"));
}

#[test]
fn a_copy_holds_the_same_to_the_byte() {
    let scratch = Scratch::new();
    let (file, again) = (scratch.beside("backup.zst"), scratch.beside("again.zst"));
    let copy = url(&scratch.beside("other.db"));
    export(&scratch.url(), &file);
    let said = import(&file, &[], &copy).success();
    assert!(said.starts_with(&format!("epoch {}: ", shown(&scratch.url())["epoch"])), "{said}");
    let log = fs::metadata(scratch.beside("other.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "all of it lies in the one file");
    must_be_well(&copy);
    assert_eq!(held(&copy), held(&scratch.url()));
    export(&copy, &again);
    assert!(blobs(&file) == blobs(&again));
}

#[test]
fn what_is_written_meanwhile_is_exported_as_it_was_in_one_moment() {
    let scratch = Scratch::empty();
    let demo = Demo::start(&scratch.path);
    crate::looking::wait_for_epochs(&scratch.path, 1);
    for number in 0..8 {
        let (file, copy) = (scratch.beside("backup.zst"), url(&scratch.beside(&format!("{number}.db"))));
        export(&scratch.url(), &file);
        import(&file, &[], &copy).success();
        must_be_well(&copy);
        std::thread::sleep(Duration::from_millis(300));
    }
    demo.kill();
}

#[test]
fn what_is_there_is_replaced_only_when_it_is_meant() {
    let scratch = Scratch::new();
    let file = scratch.beside("backup.zst");
    export(&scratch.url(), &file);
    let before = shown(&scratch.url());
    let error = import(&file, &[], &scratch.url()).failure(4);
    assert!(error.contains("is not empty: it holds epoch ") && error.contains("--replace"), "{error}");
    let error = import(&file, &["--replace"], &scratch.url()).failure(2);
    assert!(error.contains("give --yes if it is meant") && error.contains("This forgets what sqlite:"), "{error}");
    let unchanged = shown(&scratch.url());
    for part in ["epoch", "generation", "committed_at", "holds"] {
        assert_eq!(unchanged[part], before[part]);
    }
    let mut epoch = before["epoch"].as_u64().unwrap();
    for _ in 0..3 {
        import(&file, &["--replace", "--yes"], &scratch.url()).success();
        must_be_well(&scratch.url());
        let after = shown(&scratch.url());
        assert!(after["epoch"].as_u64().unwrap() > epoch, "{after}");
        assert!(after["epoch"].as_u64().unwrap() < epoch + 1_000, "close behind: {after}");
        assert_eq!((&after["holds"], &after["size"]["blobs"]), (&before["holds"], &before["size"]["blobs"]));
        epoch = after["epoch"].as_u64().unwrap();
    }
}

#[test]
fn a_backup_takes_the_place_of_what_is_damaged() {
    let scratch = Scratch::new();
    let file = scratch.beside("backup.zst");
    export(&scratch.url(), &file);
    let before = held(&scratch.url());
    scratch.spoil("UPDATE gocdnext_flow_blob SET bytes = x'ff' || substr(bytes, 2)");
    state(&["verify"], &scratch.url()).failure(3);
    import(&file, &["--replace", "--yes"], &scratch.url()).success();
    must_be_well(&scratch.url());
    assert_eq!(held(&scratch.url()), before);
}

#[test]
fn what_retention_knows_goes_along_and_stays_over_a_refusal() {
    let (scratch, copy) = (Scratch::new(), Scratch::empty());
    let file = scratch.beside("backup.zst");
    scratch.spoil(
        "INSERT INTO gocdnext_flow_policy (project, log_retention_days, archive, changed_at_ms) VALUES (x'', 30, 1, 0)",
    );
    export(&scratch.url(), &file);
    import(&file, &[], &copy.url()).success();
    copy.spoil("UPDATE gocdnext_flow_policy SET log_retention_days = 31 WHERE log_retention_days = 30");
    import(&file, &[], &copy.url()).failure(4);
    copy.spoil("UPDATE gocdnext_flow_policy SET log_retention_days = 32 WHERE log_retention_days = 31");
    import(&file, &["--replace", "--yes"], &copy.url()).success();
    copy.spoil("DELETE FROM gocdnext_flow_policy WHERE log_retention_days = 30");
}

#[test]
fn a_file_that_is_not_whole_changes_nothing() {
    let scratch = Scratch::new();
    let (file, empty) = (scratch.beside("backup.zst"), Scratch::empty());
    export(&scratch.url(), &file);
    let before = held(&scratch.url());
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for spoilt in [&whole[..whole.len() - 4], &whole[..whole.len() / 2], &changed] {
        fs::write(&file, spoilt).unwrap();
        let error = import(&file, &[], &empty.url()).failure(4);
        assert!(error.contains("it is damaged: "), "{error}");
        assert_eq!(shown(&empty.url())["epoch"], 0);
        import(&file, &["--replace", "--yes"], &scratch.url()).failure(4);
        assert_eq!(held(&scratch.url()), before);
    }
    fs::write(&file, "some text").unwrap();
    let error = import(&file, &[], &empty.url()).failure(2);
    assert!(error.contains("it was not written by `gocdnext-flow state export`"), "{error}");
    fs::write(&file, whole).unwrap();
    import(&file, &[], &empty.url()).success();
    must_be_well(&empty.url());
}

#[test]
fn an_import_that_is_killed_has_changed_nothing() {
    let (scratch, empty) = (Scratch::new(), Scratch::empty());
    let file = scratch.beside("backup.zst");
    export(&scratch.url(), &file);
    let before = held(&scratch.url());
    for place in [&scratch, &empty] {
        let mut command = flow();
        command.args(["state", "import", "-", "--replace", "--yes", "--state", &place.url()]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let whole = fs::read(&file).unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        // all but the last byte: everything is put in and nothing is finished
        stdin.write_all(&whole[..whole.len() - 1]).unwrap();
        stdin.flush().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        assert!(child.try_wait().unwrap().is_none(), "it waits for the rest");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(held(&scratch.url()), before);
    must_be_well(&scratch.url());
    assert_eq!(shown(&empty.url())["epoch"], 0);
    import(&file, &["--lease-ttl", "3s"], &empty.url()).success();
    assert_eq!(held(&empty.url()), before);
}

#[test]
fn state_that_is_being_written_is_not_replaced() {
    let (scratch, live) = (Scratch::new(), Scratch::empty());
    let file = scratch.beside("backup.zst");
    export(&scratch.url(), &file);
    let demo = Demo::start(&live.path);
    crate::looking::wait_for_epochs(&live.path, 1);
    let error = import(&file, &["--replace", "--yes"], &live.url()).failure(4);
    assert!(error.contains("writes this state: stop it first"), "{error}");
    demo.terminate();
}

#[test]
fn an_export_that_fails_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let empty = Scratch::empty();
    state(&["export", empty.beside("x.zst").to_str().unwrap()], &empty.url()).failure(2);
    assert!(!empty.path.exists() && !empty.beside("x.zst").exists());
    let absent = scratch.beside("absent/x.zst");
    let error = state(&["export", absent.to_str().unwrap()], &scratch.url()).failure(2);
    assert!(error.contains("lies in a directory that does not exist"), "{error}");
    let kept = scratch.beside("kept.zst");
    export(&scratch.url(), &kept);
    let former = fs::read(&kept).unwrap();
    scratch.spoil("UPDATE gocdnext_flow_blob SET bytes = x'ff' || substr(bytes, 2) WHERE lane = 65535");
    let error = state(&["export", kept.to_str().unwrap()], &scratch.url()).failure(4);
    assert!(error.contains("the state is damaged: gocdnext_flow_blob, epoch "), "{error}");
    assert!(fs::read(&kept).unwrap() == former);
    let files = fs::read_dir(kept.parent().unwrap()).unwrap().map(|file| file.unwrap().file_name());
    let files: Vec<_> = files.filter(|name| !name.to_string_lossy().starts_with("copy.db")).collect();
    assert_eq!(files, ["kept.zst"], "no temporary file is left");
}

#[test]
fn counting_goes_on_in_another_database_and_back() {
    let (Some(broker), Some(server)) = (broker::shared(), postgres::shared()) else { return };
    let (address, topic) = (broker.address(), "moving");
    broker.topic(topic, 1, &[]);
    let send = |runs| send_runs(&producer(&address, &[]), topic, 0, runs);
    let count = |state: &str, runs| {
        let life = Life::start(run(&address, topic, state));
        life.wait_for_runs(runs);
        life.end();
    };
    let (scratch, database) = (Scratch::empty(), server.url(&server.database()));
    send(0..10);
    count(&scratch.url(), 10);
    let pipe = format!(
        "'{0}' state export - --state {1} | '{0}' state import - --state {database}",
        flow().get_program().to_string_lossy(),
        scratch.url()
    );
    told(Command::new("sh").args(["-c", &pipe])).success();
    must_be_well(&database);
    assert_eq!(held(&database), held(&scratch.url()));
    send(10..15);
    count(&database, 15);
    let file = scratch.beside("back.zst");
    export(&database, &file);
    import(&file, &["--replace", "--yes"], &scratch.url()).success();
    send(15..16);
    count(&scratch.url(), 16);
    must_be_well(&scratch.url());
}

#[test]
fn what_a_link_leads_to_is_written_and_what_is_no_file_is_left_alone() {
    let scratch = Scratch::new();
    let folder = tempfile::tempdir().unwrap();
    let [file, link, nowhere, socket] = ["file", "link", "nowhere", "socket"].map(|name| folder.path().join(name));
    fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    std::os::unix::fs::symlink(folder.path().join("absent"), &nowhere).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    export(&scratch.url(), &link);
    assert!(link.is_symlink() && !fs::read(&file).unwrap().is_empty());
    for (place, why) in [(&nowhere, "is a link that leads nowhere"), (&socket, "is no file: give `-`")] {
        let error = state(&["export", place.to_str().unwrap()], &scratch.url()).failure(2);
        assert!(error.contains(why), "{error}");
    }
    assert!(nowhere.is_symlink() && !socket.is_file() && socket.exists());
}

/// A refusal to export to this file, which stays as it is.
fn spared(from: &str, to: &Path, more: &[&str]) -> String {
    let before = fs::read(to).ok();
    let error = state(&[&["export", to.to_str().unwrap()][..], more].concat(), from).failure(2);
    assert!(fs::read(to).ok() == before, "{}: {error}", to.display());
    error
}

#[test]
fn an_export_never_takes_the_place_of_a_database() {
    let scratch = Scratch::new();
    let [hard, soft, logs] = ["hard.db", "soft.db", "logs.db"].map(|name| scratch.beside(name));
    fs::hard_link(&scratch.path, &hard).unwrap();
    std::os::unix::fs::symlink("copy.db", &soft).unwrap();
    let whole = fs::read(&scratch.path).unwrap();
    for name in ["copy.db", "copy.db-wal", "copy.db-shm", "hard.db", "soft.db"] {
        for url in [scratch.url(), url(&soft)] {
            let error = spared(&url, &scratch.beside(name), &[]);
            let told = format!("is a file of the database {url}, which an export there would destroy: give another");
            assert!(error.contains(&told), "{error}");
        }
    }
    let log_database = format!("log_database={}", url(&logs));
    for there in [false, true] {
        let error = spared(&scratch.url(), &logs, &["--set", &log_database]);
        assert!(error.contains("is a file of the database") && logs.exists() == there, "{error}");
        fs::write(&logs, "").unwrap();
    }
    assert!(fs::read(&scratch.path).unwrap() == whole);
    must_be_well(&scratch.url());
}

#[test]
fn an_export_takes_the_place_of_exports_and_of_nothing_else() {
    let scratch = Scratch::new();
    let [file, other] = ["backup.zst", "other"].map(|name| scratch.beside(name));
    fs::write(&file, "").unwrap();
    for _ in 0..2 {
        export(&scratch.url(), &file);
    }
    let recording = zstd::encode_all(&b"{}\n"[..], 1).unwrap();
    let database = fs::read(&scratch.path).unwrap();
    for content in [&b"some text"[..], &recording, &database] {
        fs::write(&other, content).unwrap();
        let error = spared(&scratch.url(), &other, &[]);
        assert!(error.contains("other is there and is no export, and would be lost: give another name"), "{error}");
    }
}
