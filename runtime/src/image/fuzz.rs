//! Entry points for fuzzing: any bytes may give errors, none may panic or run away.

use std::io::Read;

use super::digest::Digest;
use super::ingest::{LayerError, Limits, ObjectSink, SplitReader, TarError, VerityHasher, decoder, ingest_layer};
use super::manifest::{Document, parse_config, parse_document, select_platform};
use super::merge::Merged;
use super::reference::Reference;

/// Bytes that a fuzzed layer may unpack to.
const UNPACKED_MAX: u64 = 1 << 20;

/// Names objects and throws their contents away.
pub(super) struct NoStore;

impl ObjectSink for NoStore {
    fn store(&mut self, content: &mut dyn Read, size: u64) -> Result<Digest, LayerError> {
        let mut hasher = VerityHasher::default();
        let mut buffer = [0; 4096];
        let mut content = content.take(size);
        let mut stored = 0;
        loop {
            let count = content.read(&mut buffer).map_err(TarError::Io)?;
            if count == 0 {
                break;
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
            stored += count as u64;
        }
        if stored == size {
            Ok(hasher.finish())
        } else {
            Err(TarError::Truncated.into())
        }
    }
}

/// A reference, printed and read again.
pub fn fuzz_image_reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    assert_eq!(
        reference.to_string().parse().as_ref().map(Reference::to_string),
        Ok(reference.to_string())
    );
}

/// A manifest, an index or a configuration.
pub fn fuzz_image_manifest(data: &[u8]) {
    match parse_document(data) {
        Ok(Document::Index(entries)) => drop(select_platform(&entries)),
        Ok(Document::Image(manifest)) => drop(parse_config(data, manifest.layers.len())),
        Err(_) => drop(parse_config(data, 0)),
    }
}

/// A layer's blob: unpacked, taken in, and merged onto itself.
pub fn fuzz_image_layer(data: &[u8]) {
    let mut tar = Vec::new();
    let unpacked = decoder(data).and_then(|stream| stream.take(UNPACKED_MAX).read_to_end(&mut tar));
    if unpacked.is_err() {
        return;
    }
    let mut split = Vec::new();
    let limits = Limits {
        entries: 1000,
        bytes: UNPACKED_MAX,
    };
    if ingest_layer(tar.as_slice(), &Digest::of(&tar), limits, &mut NoStore, &mut split).is_err() {
        return;
    }
    let mut merged = Merged::default();
    let twice = merged
        .add_layer(split.as_slice())
        .and_then(|()| merged.add_layer(split.as_slice()));
    if twice.is_ok() {
        assert_eq!(merged.into_tree().validate(), Ok(()));
    }
}

/// A split stream as it would lie in the store.
pub fn fuzz_image_split_stream(data: &[u8]) {
    drop(Merged::default().add_layer(data));
    if let Ok(reader) = SplitReader::new(data) {
        let _ = reader.remaining_tar();
    }
}

/// A registry's demand for authentication.
pub fn fuzz_registry_challenge(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = super::registry::parse_challenge(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::fixture::{TarBuilder, split};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn damaged_layers_never_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12), seal in any::<bool>()) {
            let mut tar = TarBuilder::default()
                .pax(&[("path", b"a/b"), ("SCHILY.xattr.user.x", b"y")])
                .file("a", &[1; 700]).symlink("l", "a").hardlink("h", "a/b").file(".wh.x", b"").finish();
            for (at, byte) in damage {
                let at = at.index(tar.len());
                tar[at] = byte;
                if seal && let Some(Ok(header)) = tar.get_mut(at / 512 * 512..).and_then(|rest| rest.get_mut(..512)).map(<&mut [u8; 512]>::try_from) {
                    crate::image::fixture::seal(header);
                }
            }
            fuzz_image_layer(&tar);
            if let Ok(mut stream) = split(&tar) {
                let at = usize::from(tar[0]) % stream.len();
                stream[at] ^= 1;
                fuzz_image_split_stream(&stream);
            }
        }

        #[test]
        fn any_bytes_are_judged(data in prop::collection::vec(any::<u8>(), 0..600)) {
            fuzz_image_reference(&data);
            fuzz_image_manifest(&data);
            fuzz_image_layer(&data);
            fuzz_image_split_stream(&data);
            fuzz_registry_challenge(&data);
        }
    }
}
