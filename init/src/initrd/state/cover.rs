//! Memory over a state that can only be read: programs find what there is and write as ever, and nothing reaches the
//! damaged partition. What is written lasts until the next reboot.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use keelson_image_layout::{StateMount, paths};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::system::uname;

use super::check;
use crate::initrd::root::SYSROOT;
use crate::modules::Loader;

/// The damaged file system, and beside it what is written over it.
const PLACE: &str = "/run/keelson/state";
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Lays memory over the state mounted at `target` for reading; gives what is there now.
#[must_use]
pub fn with_memory(mounted: StateMount, target: &Path) -> StateMount {
    match lay(target) {
        Ok(()) => mounted,
        Err(error) => {
            log::error!(error:% = error; "memory cannot be laid over the damaged state");
            check::use_memory(target, mounted.degraded().unwrap_or_default())
        }
    }
}

fn lay(target: &Path) -> io::Result<()> {
    load_overlay();
    let place = Path::new(PLACE);
    fs::create_dir_all(place)?;
    mount("tmpfs", place, "tmpfs", FLAGS, c"mode=0700,size=50%")?;
    let [lower, upper, work] = ["damaged", "upper", "work"].map(|name| place.join(name));
    for directory in [&lower, &upper, &work] {
        fs::create_dir(directory)?;
    }
    mount_move(target, &lower)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    Ok(mount(
        "overlay",
        target,
        "overlay",
        FLAGS,
        CString::new(options)?.as_c_str(),
    )?)
}

/// The module lies in the real root only: no healthy boot needs it this early.
fn load_overlay() {
    let release = uname().release().to_string_lossy().into_owned();
    let modules = Path::new(SYSROOT).join(paths::MODULES.trim_start_matches('/'));
    if let Err(error) = Loader::open(&modules.join(release)).load("overlay") {
        log::warn!(error:% = crate::chain(&error); "overlay not loaded");
    }
}
