//! From packages and programs to a disk image: the steps of a build, in order. Each step's knowledge is in a module of
//! its own.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use keelson_erofs::Tree;
use keelson_image_layout::Release;
use keelson_tuf::Verified;
use keelson_tuf::metadata::Root;
use keelson_tuf::trusted::{first_root, next_root};
use serde::Serialize;

use crate::cache::Cache;
use crate::deb::{Package, Packages, Wanted};
use crate::digest::{hex, sha256};
use crate::disk::table::identity;
use crate::disk::{self, assemble, region};
use crate::flavour::Flavour;
use crate::format::{self, Format};
use crate::kernel::groups::INITRD_ALWAYS;
use crate::kernel::{Kernel, Module};
use crate::progress::{Progress, mib};
use crate::release::Naming;
use crate::root::limits::{self, LimitError};
use crate::verity::{HashTree, hash_tree};
use crate::{initramfs, medium, root, sbom, uki};

/// Virtual size of an image; the file is sparse and a machine grows the state partition to its disk.
pub const DISK_BYTES: u64 = keelson_image_layout::partitions::IMAGE_BYTES;

/// What to build.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where the disk goes.
    pub out: PathBuf,
    /// Kind of machine it is for.
    pub flavour: Flavour,
    /// Form of the image.
    pub format: Format,
    /// Whether to make the installation medium of the release instead of its disk.
    pub installer: bool,
    /// Folder of our built programs.
    pub programs: PathBuf,
    /// The repository.
    pub source: PathBuf,
    /// Version of the release.
    pub version: String,
    /// Seconds since 1970 of the release; `None`: when the kernel package was made.
    pub time: Option<u64>,
    /// Root of the update metadata that the image trusts; without one it does not update itself.
    pub update_root: Option<PathBuf>,
    /// Leave out programs that are not built yet.
    pub allow_missing: bool,
    /// Ask the archive for newer packages even if the last answer is young.
    pub refresh: bool,
}

/// What was built, written as JSON beside the image.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Version of the release.
    pub version: String,
    /// Kind of machine.
    pub flavour: &'static str,
    /// Seconds since 1970.
    pub time: u64,
    /// Kernel release.
    pub kernel: String,
    /// Top of the root's hash tree.
    pub root_hash: String,
    /// Bytes of the root.
    pub root_bytes: u64,
    /// Bytes of the boot entry.
    pub entry_bytes: u64,
    /// Its SHA-256.
    pub entry_sha256: String,
    /// Upper bound of what one slot takes to download.
    pub download_bytes: u64,
    /// Executable files in the root.
    pub executables: Vec<String>,
    /// Firmware files that modules inside may ask for; none is in an image.
    pub firmware_absent: Vec<String>,
    /// Programs of ours that were left out.
    pub missing: Vec<&'static str>,
    /// Debian packages that parts were taken from.
    pub packages: Vec<Package>,
}

/// Builds the image at `request.out` and the record beside it.
///
/// # Errors
/// Says which step failed and why. The old image stays in place until the new one is whole.
pub fn build(cache: &Cache, request: &Request, progress: Progress) -> Result<Record> {
    let packages = resolve(cache, request, progress)?;
    let kernel = load_kernel(cache, &packages, progress)?;
    let naming = Naming::new(&request.version, request.time.unwrap_or(kernel.time), request.flavour)?;
    let workplace = tempfile::tempdir_in(cache.folder("work")?)?;

    let state = disk::state::template(DISK_BYTES, &naming.id(), naming.time)?;
    let (tree, missing) = build_root(&packages, &kernel, request, &naming, &state)?;
    let image = workplace.path().join("root.erofs");
    let verity = write_root(&tree, &image, &naming, progress)?;
    let entry = build_entry(cache, &packages, &kernel, request, &naming, &verity, progress)?;
    let download_bytes = check_download(&image, &entry, progress)?;

    let step = progress.step("disk");
    let disk = workplace.path().join("disk");
    let loader = boot_files(&packages)?.join("systemd-bootx64.efi");
    let release = assemble::Release {
        id: &naming.id(),
        version: &naming.version,
        time: naming.time,
        root: &image,
        tree: &verity,
        entry: &entry,
        loader: &read(&loader)?,
        state: &state,
    };
    assemble::write(&disk, DISK_BYTES, &release)?;
    step.done(&request.out.display().to_string());
    if request.installer {
        let medium = workplace.path().join("medium");
        medium::write(&medium, &release).context("installation medium")?;
        hand_over(&disk, &medium, request, progress)?;
    } else {
        hand_over(&disk, &disk, request, progress)?;
    }

    let record = Record {
        version: naming.version.clone(),
        flavour: naming.flavour.name(),
        time: naming.time,
        kernel: kernel.release.clone(),
        root_hash: verity.params.root_hash.to_string(),
        root_bytes: verity.params.data_bytes(),
        entry_bytes: entry.len() as u64,
        entry_sha256: hex(&sha256(&entry)),
        download_bytes,
        executables: limits::executables(&tree),
        firmware_absent: kernel.firmware(&request.flavour.root_modules())?,
        missing,
        packages: packages.list().to_vec(),
    };
    write_record(&request.out, &record)?;
    Ok(record)
}

fn resolve(cache: &Cache, request: &Request, progress: Progress) -> Result<Packages> {
    let step = progress.step("packages");
    let (name, wanted) = (request.flavour.package_set(), request.flavour.packages());
    let packages = Packages::resolve(cache, name, Wanted::Exactly(&wanted), request.refresh, &|what| {
        step.at(what)
    })
    .context("the Debian packages the image is made of")?;
    match &packages.stale {
        Some(why) => step.done(&format!(
            "from the cache; the archive cannot be asked: {}",
            why.replace('\n', " ")
        )),
        None => step.done(
            &packages
                .list()
                .iter()
                .map(|found| format!("{} {}", found.name, found.version))
                .collect::<Vec<_>>()
                .join(", "),
        ),
    }
    Ok(packages)
}

fn load_kernel(cache: &Cache, packages: &Packages, progress: Progress) -> Result<Kernel> {
    let step = progress.step("kernel");
    let kernel = Kernel::load(cache, packages)?;
    step.done(&kernel.release);
    Ok(kernel)
}

fn build_root(
    packages: &Packages,
    kernel: &Kernel,
    request: &Request,
    naming: &Naming,
    state: &[u8],
) -> Result<(Tree, Vec<&'static str>)> {
    let list = serde_json::to_vec_pretty(packages.list())?;
    let copyrights = copyrights(packages)?;
    let update_roots = request.update_root.as_deref().map(trusted_roots).transpose()?;
    let update_roots = update_roots.unwrap_or_default();
    let ingredients = root::Ingredients {
        programs: &request.programs,
        source: &request.source,
        allow_missing: request.allow_missing,
        kernel: &kernel.release,
        modules: &kernel.select(&request.flavour.root_modules())?,
        builtin: &kernel.builtin,
        e2fsck: &packages.unpacked(packages.find("e2fsck-static")?)?,
        certificates: &packages.unpacked(packages.find("ca-certificates")?)?,
        os_release: &naming.os_release(),
        copyrights: &copyrights,
        packages: &list,
        state_template: state,
        update_roots: &update_roots,
        time: naming.time,
    };
    Ok(root::build(&ingredients)?)
}

/// A root of update metadata, as it is, that its own keys signed, and those before it that lie beside it: a machine that
/// goes back to a release with an older root follows them, whatever a repository says.
fn trusted_roots(path: &Path) -> Result<Vec<(u64, Vec<u8>)>> {
    let context = || format!("update root {}", path.display());
    let newest = first_root(&read(path)?).with_context(context)?;
    let version = newest.version.get();
    let beside = |version: u64| path.with_file_name(format!("{version}.root.json"));
    let first = (1..version)
        .rev()
        .take_while(|version| beside(*version).is_file())
        .last();
    let mut roots = Vec::new();
    let mut known: Option<Verified<Root>> = None;
    for version in first.unwrap_or(version)..version {
        let bytes = read(&beside(version))?;
        let root = match &known {
            None => first_root(&bytes),
            Some(known) => next_root(known, bytes.clone()),
        };
        known = Some(root.with_context(|| format!("update root {}", beside(version).display()))?);
        roots.push((version, bytes));
    }
    if let Some(known) = &known {
        next_root(known, newest.bytes().to_vec()).with_context(context)?;
    }
    roots.push((version, newest.bytes().to_vec()));
    Ok(roots)
}

fn copyrights(packages: &Packages) -> Result<Vec<(String, PathBuf)>> {
    let terms = |package: &Package| {
        let file = packages
            .unpacked(package)?
            .join(format!("usr/share/doc/{}/copyright", package.name));
        Ok((package.name.clone(), file))
    };
    packages.list().iter().map(terms).collect()
}

fn write_root(tree: &Tree, to: &Path, naming: &Naming, progress: Progress) -> Result<HashTree> {
    let step = progress.step("root file system");
    let options = keelson_erofs::Options {
        uuid: identity(&naming.id(), "root file system").into_bytes(),
        build_time: naming.time,
        volume_name: *b"keelson-root\0\0\0\0",
        ..keelson_erofs::Options::default()
    };
    let mut out = BufWriter::with_capacity(1 << 20, create(to)?);
    let written = keelson_erofs::write_image(tree, &mut out, &options).context("root file system")?;
    drop(out);
    step.at("hash tree");
    let mut data = BufReader::with_capacity(1 << 20, open(to)?);
    let verity = hash_tree(&mut data, naming.salt()).with_context(|| format!("hash tree of {}", to.display()))?;
    step.done(&format!(
        "{}, {} files, root hash {}",
        mib(written.bytes),
        written.inodes,
        verity.params.root_hash
    ));
    Ok(verity)
}

fn build_entry(
    cache: &Cache,
    packages: &Packages,
    kernel: &Kernel,
    request: &Request,
    naming: &Naming,
    verity: &HashTree,
    progress: Progress,
) -> Result<Vec<u8>> {
    let step = progress.step("boot entry");
    let release = Release {
        format: 1,
        version: naming.version.clone(),
        kernel: kernel.release.clone(),
        time: naming.time,
        verity: verity.params.clone(),
    };
    let modules: Vec<&Module> = kernel.select(&naming.flavour.initrd_modules())?;
    let initrd = initramfs::build(
        cache,
        &initramfs::Ingredients {
            init: &request.programs.join("keelson-init"),
            release: &release,
            always: &kernel.select(&[INITRD_ALWAYS])?,
            modules: &modules,
            builtin: &kernel.builtin,
        },
    )?;
    let entry = uki::assemble(&uki::Parts {
        stub: &read(&boot_files(packages)?.join("linuxx64.efi.stub"))?,
        kernel: &read(&kernel.image)?,
        initrd: &initrd,
        os_release: &naming.os_release(),
        command_line: naming.flavour.command_line(),
        uname: &kernel.release,
    })?;
    step.done(&format!(
        "{}, initramfs {}",
        mib(entry.len() as u64),
        mib(initrd.len() as u64)
    ));
    Ok(entry)
}

/// The folder with the boot loader and the stub that images are made with.
///
/// # Errors
/// The packages are not available.
pub fn boot_loader(cache: &Cache) -> Result<PathBuf> {
    let flavour = Flavour::Cloud;
    let wanted = Wanted::Exactly(&flavour.packages());
    let packages = Packages::resolve(cache, flavour.package_set(), wanted, false, &|_| ())?;
    boot_files(&packages)
}

/// systemd-boot and its stub.
fn boot_files(packages: &Packages) -> Result<PathBuf> {
    Ok(packages
        .unpacked(packages.find("systemd-boot-efi")?)?
        .join("usr/lib/systemd/boot/efi"))
}

/// A quick compression bounds from above what a release with the strongest one would be.
fn check_download(image: &Path, entry: &[u8], progress: Progress) -> Result<u64> {
    let step = progress.step("download size");
    let mut counter = Counter(0);
    let mut encoder = zstd::Encoder::new(&mut counter, 3)?;
    io::copy(&mut open(image)?, &mut encoder)?;
    encoder.finish()?;
    let bytes = counter.0 + entry.len() as u64;
    if bytes > limits::DOWNLOAD {
        bail!(LimitError::Download { bytes });
    }
    step.done(&format!("at most {}", mib(bytes)));
    Ok(bytes)
}

/// Counts what is written.
struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the bill of materials of the release on `disk` beside the image, then `image` in its form.
fn hand_over(disk: &Path, image: &Path, request: &Request, progress: Progress) -> Result<()> {
    let step = progress.step("bill of materials");
    let bill = sbom::describe(disk, &request.source).context("bill of materials")?;
    let text = sbom::text(&bill)?;
    if let Some(folder) = request.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    keelson_durable::replace(&beside(&request.out, "spdx.json"), &text, 0o644)?;
    step.done(&format!(
        "{} files of {} packages",
        bill.files.len(),
        bill.packages.len()
    ));
    if request.format == Format::Raw {
        return region::put_in_place(image, &request.out)
            .with_context(|| format!("cannot write {}", request.out.display()));
    }
    let step = progress.step(request.format.name());
    format::convert(image, &request.out, request.format)?;
    step.done(&request.out.display().to_string());
    Ok(())
}

/// A file beside the image: its name and another ending.
fn beside(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn write_record(out: &Path, record: &Record) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    keelson_durable::replace(&beside(out, "json"), &text, 0o644).context("build record")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}
