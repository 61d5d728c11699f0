//! From a layer's blob to file objects and a split stream. Parses what strangers made: every parser
//! here is bounded, refuses instead of guessing, and is fuzzed.

mod decompress;
mod layer;
mod object;
mod path;
mod pax;
mod split;
mod tar;
mod verity;

pub use decompress::decoder;
pub use layer::{INLINE_MAX, Ingested, LayerError, Limits, ObjectSink, ingest_layer};
pub use object::ObjectWriter;
pub use path::{EntryName, PathError, parse_entry_name, parse_entry_path};
pub use split::{SplitContent, SplitReader};
pub use tar::{Entry, Kind, TarError, next_entry, padding};
pub use verity::VerityHasher;
