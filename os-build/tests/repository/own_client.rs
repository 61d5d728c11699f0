//! The client of the machines over a repository in a folder, as from a USB volume.

use jiff::Timestamp;
use keelson_tuf::{Client, Clock, FileStore, Folder, Limits};

/// A machine with the root it was made with.
pub struct Machine {
    folder: tempfile::TempDir,
    root: Vec<u8>,
}

impl Machine {
    /// One that trusts `root`.
    pub fn new(root: &[u8]) -> Machine {
        Machine {
            folder: tempfile::tempdir().unwrap(),
            root: root.to_owned(),
        }
    }

    /// Refreshes at `now` and reads a target; what the client says against it.
    pub fn read(&self, repository: &std::path::Path, name: &str, now: Timestamp) -> Result<Vec<u8>, String> {
        let store = FileStore::open(&self.folder.path().join("trusted"), &self.folder.path().join("time")).unwrap();
        let mut client = Client::new(Folder::new(repository), store, &self.root, Limits::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(async {
            let view = client.refresh(Clock::Trusted(now)).await?;
            let target = client.find(&view, name).await?;
            Ok::<_, keelson_tuf::Error>(match target {
                Some(target) => Some(client.read(&target, 1 << 20).await?),
                None => None,
            })
        });
        read.map_err(|error| error.to_string())?
            .ok_or_else(|| format!("no target {name}"))
    }
}
