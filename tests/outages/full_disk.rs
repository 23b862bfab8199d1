//! A real full disk: the state lies on a small file system of its own, which somebody else fills up under load.

use crate::{
    database::play,
    kafka::broker,
    support::{
        folder::in_folder,
        load::Flow,
        stage::{Stage, sqlite, topic},
    },
};
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Enough for the whole test's state.
const SIZE: &str = "size=96m";

/// A file system in memory; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`: SKIPPED, since whoever runs the tests may not mount.
    fn mount(at: &Path) -> Result<Option<Self>> {
        fs::create_dir(at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(at).stdin(Stdio::null());
        let refusal = match mount.output() {
            Ok(output) if output.status.success() => return Ok(Some(Self(at.to_owned()))),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // past the capture of test output
        writeln!(
            std::io::stderr(),
            "SKIPPED {test}: no file system can be mounted here, that takes root: {refusal}"
        )?;
        Ok(None)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("of-somebody-else")
    }

    /// Takes all the room there is.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        for size in [1 << 16, 1 << 10, 1] {
            let block = vec![0xff; size];
            loop {
                match file.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the disk"),
                }
            }
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // a process that was killed may hold it for a moment: then it goes with its last file
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}

#[test]
fn a_disk_that_is_full_is_no_different() {
    let Some(broker) = broker::shared() else { return };
    in_folder(|folder| {
        let at = folder.join("disk");
        let Some(disk) = SmallDisk::mount(&at)? else { return Ok(()) };
        let stage = Stage::set(folder, topic(&broker, "full-tmpfs", 3), sqlite(&at), Flow::Steady, 36)?;
        let command = stage.command(2);
        let fill = |stage: &mut Stage| {
            disk.fill().expect("the disk is filled");
            stage.running().expect("it runs").must_live().expect("it goes on");
        };
        play(stage, command, fill, |_| disk.free().expect("there is room again"))?;
        ensure!(fs::metadata(at.join("state.db"))?.len() > 0, "the state lies on that disk");
        Ok(())
    });
}
