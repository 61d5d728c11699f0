//! A release that machines may still run, as its own files in the repository have it.

use anyhow::{Context, Result};
use keelson_image_layout::RootHash;
use keelson_payload::{Index, Manifest, PartName, Version};

use super::file::{full_name, head, piece};

/// What a patch starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its version.
    pub version: Version,
    /// Top of its hash tree.
    pub root_hash: RootHash,
    /// Its root file system.
    pub root: Vec<u8>,
    /// Its boot entry.
    pub boot: Vec<u8>,
}

impl Earlier {
    /// Reads root and boot entry out of the files of a release; `file` gives one by its name in the release's folder.
    ///
    /// # Errors
    /// A file is missing or not what its manifest says.
    pub fn read(manifest: &Manifest, file: &dyn Fn(&str) -> Result<Vec<u8>>) -> Result<Earlier> {
        let part = |name: PartName| {
            let bytes = file(&full_name(name))?;
            let index = Index::of_full(head(&bytes, &manifest.part(name).full), manifest, name)?;
            let mut content = Vec::new();
            for segment in index.segments() {
                let range = segment.stored();
                let stored = piece(&bytes, range.start, range.end - range.start);
                content.extend(segment.apply(Vec::new(), stored)?);
            }
            Ok::<_, anyhow::Error>(content)
        };
        let failed = || format!("release {} in the repository", manifest.version);
        Ok(Earlier {
            version: manifest.version.clone(),
            root_hash: manifest.verity.root_hash,
            root: part(PartName::Root).with_context(failed)?,
            boot: part(PartName::Boot).with_context(failed)?,
        })
    }

    /// The bytes of a part; of the loader there are none.
    #[must_use]
    pub fn part(&self, name: PartName) -> &[u8] {
        match name {
            PartName::Root => &self.root,
            PartName::Boot => &self.boot,
            PartName::Loader => &[],
        }
    }
}
