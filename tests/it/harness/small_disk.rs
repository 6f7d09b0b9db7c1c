//! Disks that are soon full.

use std::path::{Path, PathBuf};

use dokuei_testkit::Tool;

/// A file system of a few megabytes in memory.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` when this process may not mount; that is said.
    #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
    pub(crate) fn mount(folder: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted = Tool::find("mount").ok()?.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).run().ok()?;
        if mounted.status.success() {
            return Some(Self(folder.to_owned()));
        }
        eprintln!("\n*** SKIPPED, not passed: only root may mount a small disk ***\n{mounted}");
        None
    }

    /// Remounts with another size.
    pub(crate) fn grow(&self, size: &str) {
        let options = format!("remount,{size}");
        let grown = Tool::find("mount").unwrap().args(["-o", &options]).arg(&self.0).run().unwrap();
        assert!(grown.status.success(), "{grown}");
    }

    pub(crate) fn free_bytes(&self) -> usize {
        let told = Tool::find("df").unwrap().args(["--output=avail", "-B1"]).arg(&self.0).run().unwrap();
        told.stdout_text().lines().nth(1).unwrap().trim().parse().unwrap()
    }

    /// Takes up so many bytes until the file is removed.
    pub(crate) fn fill(&self, bytes: usize) -> PathBuf {
        let ballast = self.0.join("ballast");
        std::fs::write(&ballast, vec![1; bytes]).unwrap();
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the node's process may be a moment from its end.
        let _ = Tool::find("umount").and_then(|tool| tool.arg("-l").arg(&self.0).run());
    }
}
