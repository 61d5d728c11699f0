//! Where an engine runs: the tree under an overlay, folders on the host's disk for its images, and namespaces made by
//! util-linux's `unshare`, so that nothing of it touches the host.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::group::Group;

/// Our programs that run on the stage.
const PROGRAMS: [&str; 4] = ["keelson-runtimed", "keelson-shim", "keelson-oci", "bench-engine"];

/// The stage of a race.
#[derive(Debug)]
pub struct Stage {
    tree: PathBuf,
    work: PathBuf,
    programs: PathBuf,
    hierarchy: PathBuf,
}

impl Stage {
    /// Lays out the folders; mounts nothing outside the namespaces of a run, the unified hierarchy excepted.
    pub fn new(tree: &Path, work: &Path) -> Result<Stage> {
        ensure!(rustix::process::geteuid().is_root(), "engines need root");
        let own = std::env::current_exe()?;
        let hierarchy = work.join("cgroup");
        std::fs::create_dir_all(&hierarchy)?;
        rustix::mount::mount(
            "cgroup2",
            &hierarchy,
            "cgroup2",
            rustix::mount::MountFlags::empty(),
            None,
        )
        .context("mount the unified hierarchy")?;
        Ok(Stage {
            tree: tree.to_owned(),
            work: work.to_owned(),
            programs: own.parent().context("this program lies in a folder")?.to_owned(),
            hierarchy,
        })
    }

    /// Runs one engine through the whole race, in the caller's network; its figures by name.
    pub fn run(&self, engine: &str, registry: u16) -> Result<BTreeMap<String, f64>> {
        let place = tempfile::tempdir_in(&self.work)?;
        for folder in ["upper", "work", "root", "state", "docker", "containers"] {
            std::fs::create_dir(place.path().join(folder))?;
        }
        let group = Group::new(&self.hierarchy, engine)?;
        let script = self.script(place.path(), engine, registry);
        let join = group.path().join("cgroup.procs");
        let mut command = Command::new("/bin/sh");
        command.arg("-euc").arg(script).stdout(Stdio::piped());
        // The shell moves itself in before it makes namespaces, so that the group is the root of what is seen inside.
        command.env("BENCH_GROUP", &join).process_group(0);
        let output = command.spawn().context("start the stage")?.wait_with_output()?;
        ensure!(output.status.success(), "the race ended with {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("no figures in {text:?}"))
    }

    /// Mounts and namespaces, inside which `bench-engine` is the first process.
    fn script(&self, place: &Path, engine: &str, registry: u16) -> String {
        let (place, tree, programs) = (place.display(), self.tree.display(), self.programs.display());
        let binds: String = PROGRAMS
            .iter()
            .map(|name| {
                format!(
                    "touch {place}/root/usr/bin/{name}; mount --bind {programs}/{name} {place}/root/usr/bin/{name}; "
                )
            })
            .collect();
        let inside = format!(
            "mount -t overlay overlay -o lowerdir={tree},upperdir={place}/upper,workdir={place}/work {place}/root; \
             {binds}\
             mkdir -p {place}/root/state {place}/root/var/lib/docker {place}/root/var/lib/containers; \
             mount --bind {place}/state {place}/root/state; \
             mount --bind {place}/docker {place}/root/var/lib/docker; \
             mount --bind {place}/containers {place}/root/var/lib/containers; \
             mount -t proc proc {place}/root/proc; mount -t sysfs sysfs {place}/root/sys; \
             mount -t cgroup2 cgroup2 {place}/root/sys/fs/cgroup; \
             mount --rbind /dev {place}/root/dev; \
             mount -t tmpfs tmpfs {place}/root/run; mount -t tmpfs tmpfs {place}/root/tmp; \
             exec chroot {place}/root /usr/bin/bench-engine {engine} {registry}"
        );
        format!(
            "echo $$ > \"$BENCH_GROUP\"; exec unshare --mount --cgroup --pid --fork --propagation private sh -euc '{inside}'"
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.hierarchy, rustix::mount::UnmountFlags::DETACH);
    }
}
