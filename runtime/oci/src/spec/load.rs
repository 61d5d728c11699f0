//! Reads `config.json` and makes the [`Plan`].

use crate::error::{Error, Result, Step};
use crate::spec::validate::{self, Plan};
use oci_spec::runtime::Spec;
use std::fs;
use std::path::Path;

/// Longest specification read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Reads a bundle's specification and plans it.
pub fn load(bundle: &Path) -> Result<Plan> {
    let bundle = fs::canonicalize(bundle).step("find bundle", bundle)?;
    let spec = read(&bundle.join("config.json"))?;
    validate::plan(spec, &bundle)
}

/// Reads one specification file.
pub fn read(path: &Path) -> Result<Spec> {
    let length = fs::metadata(path).step("read", path)?.len();
    if length > LONGEST {
        return Err(Error::spec(
            "",
            format!("is {length} bytes long; at most {LONGEST} are read"),
        ));
    }
    let bytes = fs::read(path).step("read", path)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}
