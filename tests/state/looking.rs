//! `show` and `verify`: they tell what is there and what is wrong with it, and change nothing.

use crate::support::{Demo, Scratch, shown, state, url};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Waits until the state has seen so many epochs, by looking at it while it is written.
pub fn wait_for_epochs(path: &Path, epochs: usize) {
    let begun = Instant::now();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < epochs {
        assert!(begun.elapsed() < Duration::from_secs(60), "no epochs come: {seen:?}");
        let told = state(&["show", "--format", "json"], &url(path));
        if told.code == Some(0) {
            let report: serde_json::Value = serde_json::from_str(&told.out).unwrap();
            assert_eq!(report["trouble"], serde_json::Value::Null, "{report}");
            seen.extend(report["epoch"].as_u64().filter(|epoch| *epoch > 0));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn state_is_shown_while_it_is_written_and_afterwards() {
    let scratch = Scratch::empty();
    let demo = Demo::start(&scratch.path);
    wait_for_epochs(&scratch.path, 3);
    let report = shown(&scratch.url());
    assert_eq!(report["topic"], "gocdnext.events");
    assert_eq!((&report["lease"]["released"], &report["lease"]["generation"]), (&false.into(), &1.into()));
    assert!(report["holds"]["jobs_running"].as_u64().unwrap() > 0, "{report}");
    assert!(report["holds"]["oldest_job_age_seconds"].as_i64().unwrap() > 0, "{report}");
    assert!(report["offsets"].as_object().unwrap().values().all(|next| next.as_u64().unwrap() > 0), "{report}");
    assert!(state(&["verify"], &scratch.url()).success().ends_with("all is well\n"));
    demo.terminate();
    let table = state(&["show"], &scratch.url()).success();
    for row in ["state ", "epoch ", "lease         given back by ", "size ", "jobs ", "remembered "] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{row}: {table}");
    }
}

#[test]
fn a_killed_writers_state_is_whole() {
    let scratch = Scratch::empty();
    let demo = Demo::start(&scratch.path);
    wait_for_epochs(&scratch.path, 2);
    demo.kill();
    assert!(state(&["verify"], &scratch.url()).success().ends_with("all is well\n"));
    assert_eq!(shown(&scratch.url())["lease"]["released"], false);
}

#[test]
fn what_is_not_there_is_not_made() {
    let scratch = Scratch::empty();
    for verb in ["show", "verify"] {
        let error = state(&[verb], &scratch.url()).failure(2);
        assert!(error.contains("there is no state: there is no file") && error.contains("copy.db"), "{error}");
        assert!(!scratch.path.exists());
    }
    fs::write(&scratch.path, "").unwrap();
    let error = state(&["show"], &scratch.url()).failure(2);
    assert!(error.contains("there is no state: "), "{error}");
    assert_eq!(fs::read(&scratch.path).unwrap(), b"");
    fs::write(&scratch.path, "no database, but a text of some length ".repeat(50)).unwrap();
    assert!(state(&["show"], &scratch.url()).failure(4).contains("copy.db: file is not a database"));
    let verified = state(&["verify"], &scratch.url());
    assert!(verified.code == Some(3) && verified.out.contains("move it out of the way"), "{verified:?}");
}

#[test]
fn looking_changes_not_a_byte() {
    let scratch = Scratch::new();
    let before = fs::read(&scratch.path).unwrap();
    state(&["show"], &scratch.url()).success();
    state(&["verify"], &scratch.url()).success();
    assert!(fs::read(&scratch.path).unwrap() == before);
}

/// The damages that `verify` names.
fn damages(scratch: &Scratch) -> Vec<String> {
    let told = state(&["verify"], &scratch.url());
    assert!(!told.out.contains("all is well"), "{told:?}");
    let damages = told.out.lines().filter_map(|line| line.strip_prefix("DAMAGED "));
    let damages: Vec<_> = damages.map(|line| line.trim().to_owned()).collect();
    assert_eq!(told.failure(3), format!("error: the state is damaged: {} found\n", damages.len()));
    damages
}

#[test]
fn every_flipped_byte_is_named() {
    let scratch = Scratch::new();
    scratch.spoil(
        "UPDATE gocdnext_flow_blob SET bytes = x'ff' || substr(bytes, 2) WHERE lane = 0 AND epoch IN \
         (SELECT epoch FROM gocdnext_flow_blob WHERE lane = 0 ORDER BY epoch LIMIT 2)",
    );
    let damages = damages(&scratch);
    assert_eq!(damages.len(), 2, "{damages:?}");
    for damage in damages {
        assert!(damage.starts_with("gocdnext_flow_blob, epoch "), "{damage}");
        assert!(damage.contains(", lane 0, chunk 0: its checksum is "), "{damage}");
    }
    let table = state(&["show"], &scratch.url()).success();
    assert!(table.contains("TROUBLE") && table.contains("checksum") && !table.contains("\njobs "), "{table}");
}

#[test]
fn what_is_gone_is_missed() {
    for (sql, told) in [
        (
            "DELETE FROM gocdnext_flow_blob WHERE lane = 0 AND epoch = \
             (SELECT MIN(epoch) FROM gocdnext_flow_blob WHERE lane = 0)",
            "has 1 of 2 rows",
        ),
        (
            "DELETE FROM gocdnext_flow_blob WHERE epoch = (SELECT MAX(epoch) FROM gocdnext_flow_blob)",
            "all rows of epoch",
        ),
        ("DELETE FROM gocdnext_flow_manifest", "gocdnext_flow_manifest: its only row is missing"),
        ("DELETE FROM gocdnext_flow_lease", "gocdnext_flow_lease: its only row is missing"),
    ] {
        let scratch = Scratch::new();
        scratch.spoil(sql);
        let damages = damages(&scratch);
        assert!(damages.len() == 1 && damages[0].contains(told), "{sql}: {damages:?}");
    }
}

#[test]
fn behind_what_is_gone_all_else_is_looked_at() {
    let scratch = Scratch::new();
    // each time the second of the epochs that are still there
    scratch.spoil(
        "DELETE FROM gocdnext_flow_blob WHERE epoch = \
         (SELECT DISTINCT epoch FROM gocdnext_flow_blob ORDER BY epoch LIMIT 1 OFFSET 1)",
    );
    scratch.spoil(
        "DELETE FROM gocdnext_flow_blob WHERE lane = 0 AND epoch = \
         (SELECT DISTINCT epoch FROM gocdnext_flow_blob ORDER BY epoch LIMIT 1 OFFSET 1)",
    );
    scratch.spoil(
        "UPDATE gocdnext_flow_blob SET checksum = checksum + 1 WHERE lane = 65535 AND epoch = \
         (SELECT MAX(epoch) FROM gocdnext_flow_blob)",
    );
    let damages = damages(&scratch);
    assert_eq!(damages.len(), 3, "{damages:?}");
    for (damage, told) in
        damages.iter().zip(["all rows of epoch", "has 1 of 2 rows", "lane 65535, chunk 0: its checksum"])
    {
        assert!(damage.contains(told), "{told}: {damages:?}");
    }
    assert!(state(&["verify"], &scratch.url()).out.lines().any(|line| line.starts_with("blobs ")));
    let report = shown(&scratch.url());
    assert!(report["trouble"].as_str().unwrap().contains("all rows of epoch"), "{report}");
    assert!(report["holds"].is_null() && report["offsets"].is_object(), "{report}");
    let table = state(&["show"], &scratch.url()).success();
    assert!(table.contains("\nlease ") && table.contains("\nTROUBLE "), "{table}");
}

#[test]
fn a_manifest_that_was_changed_is_named() {
    for (sql, told) in [
        ("UPDATE gocdnext_flow_manifest SET details = '{'", "gocdnext_flow_manifest: its checksum is"),
        ("UPDATE gocdnext_flow_manifest SET generation = generation + 1", "and the lease's is 1"),
    ] {
        let scratch = Scratch::new();
        scratch.spoil(sql);
        let damages = damages(&scratch);
        assert!(damages.len() == 1 && damages[0].contains(told), "{sql}: {damages:?}");
    }
}

#[test]
fn a_file_that_is_cut_short_is_damaged() {
    let scratch = Scratch::new();
    let bytes = fs::read(&scratch.path).unwrap();
    fs::write(&scratch.path, &bytes[..bytes.len() - 40_000]).unwrap();
    assert!(!damages(&scratch).is_empty());
}
