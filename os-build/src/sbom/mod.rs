//! The bill of materials of an image: who owns each byte of both slots' roots, boot entries and initramfs, of the EFI
//! system partition and of what lies between them, read back from the finished disk. A file that nobody owns is an error.

pub(crate) mod content;
pub mod crates;
pub mod owner;
mod regions;
pub mod spdx;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use keelson_image_layout::Slot;

use self::content::{Content, Item};
use self::crates::{Crate, Crates};
use self::owner::Owner;
use self::spdx::{
    Checksum, CreationInfo, DOCUMENT, Document, ExternalRef, FileEntry, Package, Relationship, UNKNOWN,
    VerificationCode, expression, identifier,
};
use crate::deb;
use crate::disk::table::identity;

/// The image as a package.
const IMAGE: &str = "SPDXRef-Image";
/// What every program is linked with beside its crates.
const TOOLCHAIN: [&str; 2] = ["rust-std", "glibc"];

/// Describes a disk: the release in slot A, what of slot B is not the same byte for byte, and what both lie in; `source`
/// is the repository the programs were built from.
///
/// # Errors
/// The disk cannot be read, holds a file that no rule names an owner for, or cargo does not know a program.
pub fn describe(disk: &Path, source: &Path) -> Result<Document> {
    let file = File::open(disk).with_context(|| disk.display().to_string())?;
    let content = Content::read(&file, Slot::A).with_context(|| disk.display().to_string())?;
    let crates = Crates::read(source)?;
    let mut bill = Bill::new(&content, &crates);
    for item in &content.items {
        bill.add(item, &content.packages)?;
    }
    if content::is_filled(&file, Slot::B)? {
        bill.add_slot_b(&Content::read(&file, Slot::B).context("slot B")?)?;
    }
    for item in content::esp_items(&file)?.iter().chain(&regions::items(&file)?) {
        bill.add(item, &content.packages)?;
    }
    bill.link_programs()?;
    bill.finish()
}

struct Bill<'a> {
    content: &'a Content,
    crates: &'a Crates,
    files: Vec<FileEntry>,
    relations: Vec<Relationship>,
    programs: BTreeMap<String, &'a Crate>,
    packages: BTreeMap<String, Package>,
    remark: Option<String>,
}

impl<'a> Bill<'a> {
    fn new(content: &'a Content, crates: &'a Crates) -> Bill<'a> {
        let mut bill = Bill {
            content,
            crates,
            files: Vec::new(),
            relations: Vec::new(),
            programs: BTreeMap::new(),
            packages: BTreeMap::new(),
            remark: None,
        };
        bill.relate(DOCUMENT, "DESCRIBES", IMAGE);
        bill
    }

    fn relate(&mut self, from: &str, how: &'static str, to: &str) {
        let relation = Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type: how,
            related_spdx_element: to.to_owned(),
        };
        if !self.relations.contains(&relation) {
            self.relations.push(relation);
        }
    }

    /// What slot B holds, unless slot A holds the same under the same name.
    fn add_slot_b(&mut self, content: &Content) -> Result<()> {
        let same: BTreeSet<(&str, &[u8])> = self.content.items.iter().map(Item::key).collect();
        let others: Vec<&Item> = content
            .items
            .iter()
            .filter(|item| !same.contains(&item.key()))
            .collect();
        self.remark = Some(match others.len() {
            0 => "slot B holds the same files with the same bytes".to_owned(),
            count => format!("slot B holds {} and differs in {count} files", content.version),
        });
        for item in others {
            let item = Item {
                name: format!("slot-b/{}", item.name),
                ..item.clone()
            };
            self.add(&item, &content.packages)?;
        }
        Ok(())
    }

    /// Adds a piece; `packages` are those of the release it belongs to.
    fn add(&mut self, item: &Item, packages: &[deb::Package]) -> Result<()> {
        let owner = item
            .owner
            .as_ref()
            .with_context(|| format!("{} has no owner: give it one in os-build/src/sbom/owner.rs", item.name))?;
        let file = FileEntry::new(self.files.len(), format!("./{}", item.name), &item.bytes);
        let id = file.id.clone();
        self.files.push(file);
        let package = self.package_of(owner, packages).with_context(|| item.name.clone())?;
        self.relate(&package, "CONTAINS", &id);
        Ok(())
    }

    /// Identifier of the owner's package, which is listed if it is not yet.
    fn package_of(&mut self, owner: &Owner, packages: &[deb::Package]) -> Result<String> {
        match owner {
            Owner::Release => Ok(IMAGE.to_owned()),
            Owner::Debian(prefix) => {
                let found = packages
                    .iter()
                    .find(|package| package.name.starts_with(prefix))
                    .with_context(|| format!("no package {prefix} in the image's own list"))?;
                Ok(self.list(IMAGE, debian_package(found)))
            }
            Owner::Program(name) => {
                let crates = self.crates;
                let made = crates.of_program(name);
                let made = made.with_context(|| format!("no crate makes a program {name}"))?;
                self.programs.insert(name.clone(), made);
                Ok(self.list(IMAGE, crate_package(made)))
            }
        }
    }

    fn list(&mut self, user: &str, package: Package) -> String {
        let id = package.id.clone();
        let how = if user == IMAGE { "CONTAINS" } else { "DEPENDS_ON" };
        self.relate(user, how, &id);
        self.packages.entry(id.clone()).or_insert(package);
        id
    }

    /// Every crate that a program is linked with, and the two libraries that come with the compiler.
    fn link_programs(&mut self) -> Result<()> {
        let crates = self.crates;
        let made: Vec<&Crate> = self.programs.values().copied().collect();
        for user in crates.linked(made.iter().copied()) {
            let id = self.list(IMAGE, crate_package(user));
            for used in crates.used_by(user) {
                self.list(&id, crate_package(used));
            }
        }
        let versions = [content::rust_version()?, content::glibc_version()?];
        for (name, version) in TOOLCHAIN.into_iter().zip(versions) {
            let library = library_package(name, version);
            for program in &made {
                self.list(&crate_package(program).id, library.clone());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Document> {
        let content = self.content;
        let name = format!("keelson-{}-{}", content.variant, content.version);
        let root_hash = content.root_hash.to_string();
        let seconds = i64::try_from(content.time).context("time of the release")?;
        let image = Package {
            version_info: content.version.clone(),
            license_declared: env!("CARGO_PKG_LICENSE").to_owned(),
            source_info: Some(format!("root hash {root_hash}")),
            comment: self.remark,
            ..package(IMAGE.to_owned(), "keelson")
        };
        Ok(Document {
            spdx_version: "SPDX-2.3",
            data_license: "CC0-1.0",
            id: DOCUMENT,
            document_namespace: format!("urn:uuid:{}", identity(&name, &root_hash)),
            name,
            creation_info: CreationInfo {
                created: Timestamp::from_second(seconds)?.to_string(),
                creators: vec![format!("Tool: os-build-{}", env!("CARGO_PKG_VERSION"))],
            },
            packages: std::iter::once(image)
                .chain(self.packages.into_values())
                .map(|package| with_files(package, &self.files, &self.relations))
                .collect(),
            files: self.files,
            relationships: self.relations,
        })
    }
}

/// A package that contains files says so, with a digest over them.
fn with_files(package: Package, files: &[FileEntry], relations: &[Relationship]) -> Package {
    let inside = |file: &&FileEntry| {
        relations.iter().any(|relation| {
            relation.relationship_type == "CONTAINS"
                && relation.spdx_element_id == package.id
                && relation.related_spdx_element == file.id
        })
    };
    let contained: Vec<&FileEntry> = files.iter().filter(inside).collect();
    if contained.is_empty() {
        return package;
    }
    Package {
        files_analyzed: true,
        package_verification_code: Some(VerificationCode::of(&contained)),
        ..package
    }
}

fn package(id: String, name: &str) -> Package {
    Package {
        id,
        name: name.to_owned(),
        version_info: String::new(),
        download_location: UNKNOWN,
        files_analyzed: false,
        package_verification_code: None,
        license_concluded: UNKNOWN,
        license_declared: UNKNOWN.to_owned(),
        copyright_text: UNKNOWN,
        source_info: None,
        comment: None,
        checksums: Vec::new(),
        external_refs: Vec::new(),
    }
}

fn purl(locator: String) -> ExternalRef {
    ExternalRef {
        reference_category: "PACKAGE-MANAGER",
        reference_type: "purl",
        reference_locator: locator,
    }
}

fn debian_package(found: &deb::Package) -> Package {
    let version = found
        .version
        .replace('+', "%2B")
        .replace(':', "%3A")
        .replace('~', "%7E");
    Package {
        version_info: found.version.clone(),
        source_info: Some(format!("built from source package {}", found.source)),
        checksums: vec![Checksum {
            algorithm: "SHA256",
            checksum_value: found.sha256.clone(),
        }],
        external_refs: vec![purl(format!("pkg:deb/debian/{}@{version}?arch=amd64", found.name))],
        ..package(identifier("Deb", &found.name), &found.name)
    }
}

fn crate_package(found: &Crate) -> Package {
    Package {
        version_info: found.version.clone(),
        license_declared: expression(found.license.as_deref()),
        external_refs: found.purl().map(purl).into_iter().collect(),
        ..package(
            identifier("Crate", &format!("{}-{}", found.name, found.version)),
            &found.name,
        )
    }
}

fn library_package(name: &str, version: String) -> Package {
    Package {
        version_info: version,
        ..package(identifier("Library", name), name)
    }
}

/// The document as text.
///
/// # Errors
/// It cannot be written as JSON.
pub fn text(document: &Document) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    Ok(text)
}
