//! A real registry on the host with the images of a case, and the provisioning volume that declares them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use keelson_os_build::boot::{volume, volume_with};
use keelson_os_build::cache::Cache;
use keelson_os_build::demo;
use keelson_os_build::oci::{Entry, Image, Registry, Start, image, layer, push};

/// The host as QEMU's user network shows it to the guest.
const HOST: &str = "10.0.2.2";

/// A registry that lives as long as this value.
#[derive(Debug)]
pub struct Images {
    registry: Registry,
}

impl Images {
    /// Starts a registry in a folder of its own and fills it with the probe.
    ///
    /// # Errors
    /// The registry does not start, or refuses the image.
    pub fn with_probe(folder: &Path) -> Result<Images> {
        let images = Images::start(folder)?;
        images.push("probe", &probe()?)?;
        Ok(images)
    }

    /// Starts a registry and fills it with the demonstration's web server.
    ///
    /// # Errors
    /// The registry does not start, or the image cannot be built.
    pub fn with_demo(folder: &Path) -> Result<Images> {
        let images = Images::start(folder)?;
        let image = demo::build(&Cache::of_user()?, &|_| ()).context("build the demonstration's image")?;
        images.push("demo", &image)?;
        Ok(images)
    }

    /// Starts a registry that holds nothing.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(folder: &Path) -> Result<Images> {
        let folder = folder.join("registry");
        std::fs::create_dir_all(&folder)?;
        Ok(Images {
            registry: Registry::start(&folder)?,
        })
    }

    /// Pushes an image under a name, with the tag `1`.
    ///
    /// # Errors
    /// The registry refuses it.
    pub fn push(&self, name: &str, image: &Image) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let base = format!("http://127.0.0.1:{}", self.registry.port());
        let client = keelson_os_build::boot::client()?;
        runtime
            .block_on(push(&client, &base, name, "1", image))
            .with_context(|| format!("push {name}"))
    }

    /// The registry's port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.registry.port()
    }

    /// The registry's section of a document.
    #[must_use]
    pub fn section(&self) -> String {
        format!(
            "schema = 1\n\n[registry.\"{HOST}:{}\"]\nplain-http = true\n\n",
            self.registry.port()
        )
    }

    /// The reference of an image here.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{HOST}:{}/{name}:1", self.registry.port())
    }

    /// A container's section that runs the probe with some words, and what else it says.
    #[must_use]
    pub fn probe_section(&self, name: &str, words: &[&str], more: &str) -> String {
        let image = self.reference("probe");
        let command: Vec<&str> = std::iter::once("/probe").chain(words.iter().copied()).collect();
        format!("[container.{name}]\nimage = \"{image}\"\ncommand = {command:?}\n{more}\n\n")
    }
}

/// Writes a provisioning volume.
///
/// # Errors
/// It cannot be written.
pub fn seed(folder: &Path, name: &str, document: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.seed"));
    volume(&path, document).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Writes a provisioning volume that holds a network configuration beside the document.
///
/// # Errors
/// It cannot be written.
pub fn seed_with_network(folder: &Path, name: &str, document: &str, network: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.seed"));
    volume_with(&path, document, &[("network-config", network)])
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// The image of the probe: one static program.
///
/// # Errors
/// The program is not built.
pub fn probe() -> Result<Image> {
    Ok(image(vec![layer(&probe_entries()?)?], &start_probe()))
}

/// The probe beside a program of Debian that it can run.
///
/// # Errors
/// The package cannot be had, or the probe is not built.
pub fn probe_beside(package: &'static str, program: &str) -> Result<Image> {
    let cache = Cache::of_user()?;
    let mut layers = demo::program_of_debian(&cache, package, program).with_context(|| format!("take {program}"))?;
    layers.push(layer(&probe_entries()?)?);
    Ok(image(layers, &start_probe()))
}

fn start_probe() -> Start {
    Start {
        command: ["/probe", "serve", "80"].map(String::from).to_vec(),
        environment: vec!["PATH=/usr/sbin:/usr/bin".to_owned()],
        ..Start::default()
    }
}

fn probe_entries() -> Result<Vec<Entry>> {
    // Programs lie beside each other, tests in a folder below.
    let own = std::env::current_exe()?;
    let programs = own
        .ancestors()
        .skip(1)
        .take(2)
        .find(|folder| folder.join("probe").is_file());
    let programs = programs.context("find the probe (run `./just programs`)")?;
    let program = std::fs::read(programs.join("probe")).context("read the probe")?;
    Ok(vec![
        Entry::folder("etc", 0o755),
        Entry::file(
            "etc/passwd",
            0o644,
            "root:x:0:0::/:/probe\nprobe:x:1000:1000::/:/probe\n",
        ),
        Entry::folder("tmp", 0o1777),
        Entry::file("probe", 0o755, program),
    ])
}

/// Where the probe was built: beside the folder of the tests.
///
/// # Errors
/// This program lies in no folder.
pub fn probe_program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).map(|folder| folder.join("probe"));
    folders
        .take(2)
        .find(|path| path.is_file())
        .context("find the probe (run `./just programs`)")
}
