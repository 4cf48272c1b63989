//! Who uses the cluster, and whose turn it is to change that.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::{Result, io_error};

/// A flock. Opened anew for each use, since it belongs to the open file.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io_error("open", &path))?;
        Ok(Self { file, path })
    }

    pub(super) fn wait(&self) -> Result<()> {
        self.file.lock().map_err(io_error("lock", &self.path))
    }

    pub(super) fn share(&self) -> Result<()> {
        self.file.lock_shared().map_err(io_error("lock", &self.path))
    }

    /// False if somebody else has it. A shared lock that was held before is lost then.
    pub(super) fn try_exclusive(&self) -> Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &self.path)(error)),
        }
    }
}

impl Drop for Lock {
    /// Closing alone would leave it to a child that another thread has forked and that hasn't begun its program yet.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "could not unlock {}", self.path.display());
        }
    }
}
