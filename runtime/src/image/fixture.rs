//! For tests: tar archives in memory, and the layers and images made of them.

use super::digest::{Digest, ImageId};
use super::fuzz::NoStore;
use super::ingest::{LayerError, Limits, ingest_layer};
use super::record::{LayerRef, StoredImage};
use super::store::{Commit, Staging, Store};

/// A tar archive in the making.
#[derive(Default)]
pub struct TarBuilder(Vec<u8>);

impl TarBuilder {
    /// An entry of any type flag.
    pub fn entry(mut self, flag: u8, name: &str, mode: u32, link: &str, content: &[u8]) -> Self {
        self.0
            .extend_from_slice(&header(flag, name, mode, link, content.len() as u64));
        self.padded(content)
    }

    pub fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, 0o755, "", b"")
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(b'0', name, 0o644, "", content)
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, 0o777, target, b"")
    }

    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, 0, target, b"")
    }

    /// A PAX header for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let content: Vec<u8> = records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
        self.entry(b'x', "pax", 0o644, "", &content)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    fn padded(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (body..).find(|n| n.to_string().len() + body == *n).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A ustar header with a right checksum.
pub fn header(flag: u8, name: &str, mode: u32, link: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000012");
    put(157, link);
    put(257, "ustar");
    put(263, "00");
    header[156] = flag;
    seal(&mut header);
    header
}

/// Puts the right checksum into a header.
pub fn seal(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// The split stream of a tar.
pub fn split(tar: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut out = Vec::new();
    ingest_layer(
        tar,
        &Digest::of(tar),
        Limits::for_blob(tar.len() as u64),
        &mut NoStore,
        &mut out,
    )?;
    Ok(out)
}

/// A configuration for layers of these diff ids.
pub fn config(diff_ids: &[Digest]) -> String {
    let ids: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!(
        r#"{{"created":"2026-01-02T03:04:05Z","architecture":"amd64","os":"linux","config":{{"Cmd":["/hello"],"Env":null}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    )
}

/// An image of these tars, staged but not committed.
pub fn stage(store: &Store, tars: &[Vec<u8>]) -> (Staging, ImageId, StoredImage) {
    let staging = store.stage().unwrap();
    let mut layers = Vec::new();
    for tar in tars {
        let blob = staging.blob(&Digest::of(tar));
        std::fs::write(&blob, tar).unwrap();
        let ingested = staging.ingest(&blob, &Digest::of(tar), &mut |_| Ok(())).unwrap();
        layers.push(LayerRef {
            diff_id: ingested.diff_id,
            blob: Digest::of(tar),
            size: ingested.size,
        });
    }
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
    let config = config(&diff_ids);
    let id = Digest::of(config.as_bytes());
    let metadata = staging.write_metadata(&id, &diff_ids).unwrap();
    (
        staging,
        id,
        StoredImage {
            format: 1,
            config,
            manifest: "{}".to_owned(),
            layers,
            metadata,
        },
    )
}

/// An image of these tars in the store under a name.
pub fn add_image(store: &Store, name: &str, tars: &[Vec<u8>]) -> ImageId {
    let (staging, id, image) = stage(store, tars);
    let reference = name.parse().unwrap();
    Commit {
        store,
        staging: &staging,
        id,
        image,
        reference,
        digest: Digest::of(name.as_bytes()),
    }
    .run()
    .unwrap();
    id
}
