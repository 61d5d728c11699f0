//! python-tuf's client as a judge: another implementation of the specification, by its authors. Debian's package, used
//! without installing it.

use std::path::{Path, PathBuf};
use std::process::Command;

use keelson_os_build::cache::Cache;
use keelson_os_build::tool;

/// Takes the trusted root, the folder of trusted metadata, the repository's address and names of targets; prints the path
/// of each target it accepts.
const CLIENT: &str = r#"
import sys, os
from tuf.ngclient import Updater
root, folder, address, *names = sys.argv[1:]
metadata, targets = os.path.join(folder, "metadata"), os.path.join(folder, "targets")
os.makedirs(metadata, exist_ok=True); os.makedirs(targets, exist_ok=True)
updater = Updater(metadata, address + "/metadata/", targets, address + "/targets/", bootstrap=open(root, "rb").read())
updater.refresh()
for name in names:
    info = updater.get_targetinfo(name)
    if info is None:
        sys.exit("no target " + name)
    print(updater.download_target(info))
"#;

/// The client with what it trusts.
pub struct PythonTuf {
    path: String,
    root: PathBuf,
    folder: tempfile::TempDir,
}

impl PythonTuf {
    /// A client that trusts `root`; `None` if this machine cannot have one.
    pub fn new(root: &Path) -> Option<PythonTuf> {
        let packages = ["python3-tuf", "python3-securesystemslib", "python3-urllib3"];
        let ready = Command::new("python3")
            .arg("--version")
            .output()
            .map_err(|error| format!("no python3: {error}"));
        let folders = ready.and_then(|_| {
            let cache = Cache::of_user().map_err(|error| error.to_string())?;
            tool::folders(&cache, "forky", &packages).map_err(|error| error.to_string())
        });
        let folders = match folders {
            Ok(folders) => folders,
            Err(reason) => {
                assert!(std::env::var_os("KEELSON_STRICT").is_none(), "{reason}");
                eprintln!("skipped: {reason}");
                return None;
            }
        };
        let path: Vec<String> = folders
            .iter()
            .map(|folder| folder.join("usr/lib/python3/dist-packages").display().to_string())
            .collect();
        Some(PythonTuf {
            path: path.join(":"),
            root: root.to_owned(),
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// Refreshes and downloads; the contents, or what it says against the repository.
    pub fn download(&self, address: &str, names: &[&str]) -> Result<Vec<Vec<u8>>, String> {
        let output = Command::new("python3")
            .args(["-c", CLIENT])
            .args([&self.root, self.folder.path()])
            .arg(address)
            .args(names)
            .env("PYTHONPATH", &self.path)
            .output()
            .unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(said.lines().last().unwrap_or_default().to_owned());
        }
        let printed = String::from_utf8(output.stdout).unwrap();
        Ok(printed.lines().map(|path| std::fs::read(path).unwrap()).collect())
    }
}
