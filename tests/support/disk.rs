//! File systems that belong to one test, which may fill and break them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{skipped, wait_for};

/// A small file system, unmounted when dropped.
pub struct SmallDisk {
    mounted: TempDir,
    /// Folder of its image file; `None` in memory.
    file: Option<(TempDir, PathBuf)>,
}

impl SmallDisk {
    /// A file system in memory.
    pub fn in_memory(megabytes: u32) -> Option<Self> {
        let mounted = TempDir::new().unwrap();
        let size = format!("size={megabytes}m");
        let disk = Self { mounted, file: None };
        disk.mount(&["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// A file system in a file, with a journal, whose power can be cut.
    pub fn in_file() -> Option<Self> {
        let (mounted, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let file = folder.path().join("disk");
        File::create(&file).unwrap().set_len(512 << 20).unwrap();
        let formatted = Command::new("mkfs.ext4").arg("-q").arg(&file).output();
        if !formatted.is_ok_and(|formatted| formatted.status.success()) {
            skipped("a disk of a test's own, for mkfs.ext4 is not here (Debian: apt-get install e2fsprogs)");
            return None;
        }
        let disk = Self { mounted, file: Some((folder, file.clone())) };
        disk.mount(&["-o", "loop", &file.to_string_lossy()])
    }

    fn mount(self, how: &[&str]) -> Option<Self> {
        let mounted = Command::new("mount").args(how).arg(self.path()).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(self);
        }
        skipped("a disk of a test's own, for no file system may be mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    pub fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()).status();
        assert!(done.unwrap().success());
    }

    /// Cuts the power: the kernel accepts no more writes, and writes that were not synced are lost.
    pub fn cut_power(&self) {
        self.remount("abort");
    }

    /// Mounts it again, with the writes that reached it, as soon as no process has a file of it open.
    pub fn come_back(&self) {
        let (_, file) = self.file.as_ref().expect("what is in memory does not come back");
        wait_for("that nobody uses the disk", || {
            Command::new("umount").arg(self.path()).output().unwrap().status.success()
        });
        assert!(Command::new("mount").args(["-o", "loop"]).arg(file).arg(self.path()).status().unwrap().success());
    }

    pub fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let _ = std::io::copy(&mut std::io::repeat(1), &mut file);
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}
