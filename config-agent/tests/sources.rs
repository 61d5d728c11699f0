//! Every local source on a machine in a directory: what is taken, what comes before what, and what is refused.

#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod support;

use std::io::Write as _;

use keelson_config::source::Kind;
use keelson_config::status::{State, Status};
use support::{Machine, fat, seed};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 me@laptop";
const SLOT: &str = "pci0/0000:00:03.0/virtio1";

fn named(hostname: &str) -> String {
    format!("schema = 1\n[system]\nhostname = \"{hostname}\"\n")
}

fn hostname(machine: &Machine) -> String {
    machine.read("etc/hostname").trim().to_owned()
}

fn applied(machine: &Machine) -> (Status, String) {
    let status = machine.boot().status;
    assert_eq!(status.state, State::Applied, "{:?}", status.lines());
    let source = status.source.clone().unwrap();
    (status, source)
}

/// Gives a machine a document by a kind of source.
fn give(machine: &Machine, kind: Kind, document: &str) {
    let bytes = document.as_bytes();
    match kind {
        Kind::FwCfg => machine.fw_cfg("opt/org.keelson/config", bytes),
        Kind::Smbios => machine.smbios(&[format!("io.systemd.credential:keelson.config={document}")]),
        Kind::Esp => machine.esp(&fat("ESP", 1 << 20, &[("keelson/config.toml", bytes)])),
        Kind::Nocloud => machine.attach("vdb", SLOT, &seed(document, "")),
        Kind::ConfigDrive => machine.attach("vdc", "pci0/0000:00:05.0/virtio3", &drive(document, "{}")),
        Kind::Serial | Kind::Ec2 => unreachable!(),
    }
}

fn drive(document: &str, meta_data: &str) -> Vec<u8> {
    let files: [(&str, &[u8]); 2] = [
        ("openstack/latest/meta_data.json", meta_data.as_bytes()),
        ("openstack/latest/user_data", document.as_bytes()),
    ];
    fat("config-2", 1 << 20, &files)
}

#[test]
fn every_source_alone_is_applied_and_unchanged_on_the_next_boot() {
    for (kind, place) in [
        (Kind::FwCfg, "QEMU fw_cfg opt/org.keelson/config"),
        (Kind::Smbios, "SMBIOS string keelson.config"),
        (Kind::Esp, "keelson/config.toml on the EFI system partition"),
        (Kind::Nocloud, "volume cidata"),
        (Kind::ConfigDrive, "config drive"),
    ] {
        let machine = Machine::new();
        give(&machine, kind, &named("web"));
        let (_, source) = applied(&machine);
        assert!(source.starts_with(place), "{source}");
        assert_eq!(hostname(&machine), "web");
        assert_eq!(machine.boot().status.state, State::Unchanged, "{kind:?}");
        give(&machine, kind, &named("other"));
        applied(&machine);
        assert_eq!(hostname(&machine), "other");
    }
}

#[test]
fn the_hypervisor_comes_before_the_disk_and_that_before_what_is_plugged_in() {
    let order = [Kind::FwCfg, Kind::Smbios, Kind::Esp, Kind::ConfigDrive];
    for (first, later) in order.iter().zip(&order[1..]) {
        let machine = Machine::new();
        give(&machine, *later, &named("later"));
        give(&machine, *first, &named("first"));
        let (status, _) = applied(&machine);
        assert_eq!(hostname(&machine), "first", "{first:?} before {later:?}");
        assert!(
            status.notes.iter().any(|note| note.contains("comes before it")),
            "{:?}",
            status.notes
        );
    }
    let machine = Machine::new();
    give(&machine, Kind::Nocloud, &named("a"));
    give(&machine, Kind::ConfigDrive, &named("b"));
    assert_eq!(machine.boot().status.state, State::Rejected);
}

#[test]
fn the_first_source_is_pinned_whatever_its_kind() {
    for pinned in [Kind::Nocloud, Kind::Smbios, Kind::FwCfg] {
        let machine = Machine::new();
        give(&machine, pinned, &named("mine"));
        applied(&machine);
        for other in [Kind::FwCfg, Kind::Smbios, Kind::Esp, Kind::ConfigDrive] {
            if other != pinned {
                give(&machine, other, &named("stranger"));
            }
        }
        assert_eq!(machine.boot().status.state, State::Reported);
        assert_eq!(hostname(&machine), "mine");
    }
}

#[test]
fn metadata_give_what_the_document_does_not_say() {
    let meta_data = format!("{{\"uuid\": \"u-1\", \"hostname\": \"meta\", \"public_keys\": {{\"k\": \"{KEY}\"}}}}");
    let keys = "run/keelson/ssh/authorized_keys/core";
    let machine = Machine::new();
    machine.attach("vdc", SLOT, &drive("schema = 1\n", &meta_data));
    applied(&machine);
    assert_eq!(
        (hostname(&machine), machine.read(keys)),
        ("meta".to_owned(), format!("{KEY}\n"))
    );
    // Without any document they are applied alone.
    let machine = Machine::new();
    machine.attach("vdc", SLOT, &drive("", &meta_data));
    applied(&machine);
    assert_eq!(
        (hostname(&machine), machine.read(keys)),
        ("meta".to_owned(), format!("{KEY}\n"))
    );
    assert_eq!(machine.boot().status.state, State::Unchanged);
    // The first document then counts, from wherever it comes.
    give(&machine, Kind::FwCfg, &named("document"));
    applied(&machine);
    assert_eq!(hostname(&machine), "document");
    // A source that lost its document takes nothing away.
    machine.fw_cfg("opt/org.keelson/config", b"");
    machine.fw_cfg("opt/org.keelson/meta-data", b"local-hostname: stranger");
    assert_eq!(machine.boot().status.state, State::Unchanged);
    assert_eq!(hostname(&machine), "document");
}

#[test]
fn another_instance_id_changes_nothing() {
    let machine = Machine::new();
    machine.attach("vdc", SLOT, &drive(&named("web"), "{\"uuid\": \"u-1\"}"));
    let (status, _) = applied(&machine);
    machine.attach("vdc", SLOT, &drive(&named("web"), "{\"uuid\": \"u-2\"}"));
    let again = machine.boot().status;
    assert_eq!((again.state, again.generation), (State::Unchanged, status.generation));
}

#[test]
fn the_serial_number_gives_a_name() {
    let machine = Machine::new();
    machine.identity("product_serial", "ds=nocloud;h=web;i=i-1");
    let (_, source) = applied(&machine);
    assert_eq!(
        (hostname(&machine).as_str(), source.as_str()),
        ("web", "the machine's serial number")
    );
    give(
        &machine,
        Kind::Nocloud,
        "schema = 1\n[time]\nservers = [\"ntp.example\"]\n",
    );
    applied(&machine);
    assert_eq!(hostname(&machine), "web");
    let machine = Machine::new();
    machine.identity("product_serial", "ds=nocloud-net;s=http://10.0.2.2/");
    let status = machine.boot().status;
    assert_eq!(status.state, State::None);
    assert!(
        status.notes.iter().any(|note| note.contains("attach a volume")),
        "{:?}",
        status.notes
    );
}

#[test]
fn compressed_documents_are_expanded_and_cut_ones_refused() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(named("web").as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let machine = Machine::new();
    machine.fw_cfg("opt/io.systemd.credentials/keelson.config", &gzip);
    applied(&machine);
    assert_eq!(hostname(&machine), "web");
    machine.fw_cfg("opt/io.systemd.credentials/keelson.config", &gzip[..gzip.len() - 5]);
    let status = machine.boot().status;
    assert!(
        status.notes.iter().any(|note| note.contains("cut short")),
        "{:?}",
        status.notes
    );
    assert_eq!(hostname(&machine), "web");
}

#[test]
fn what_is_wrong_names_place_and_cure_and_shows_no_content() {
    let secret = "schema = 1 # hunter2";
    type Give = fn(&Machine, &str);
    let cases: [(Give, &str); 5] = [
        (
            |machine, text| {
                machine.fw_cfg("opt/org.keelson/config", text.as_bytes());
                machine.fw_cfg("opt/io.systemd.credentials/keelson.config", text.as_bytes());
            },
            "are both given",
        ),
        (
            |machine, text| {
                machine.smbios(&[format!(
                    "io.systemd.credential:keelson.config={text}{}",
                    "#".repeat(50 << 10)
                )])
            },
            "use fw_cfg",
        ),
        (
            |machine, text| {
                machine.esp(&both(text.as_bytes()));
            },
            "remove one",
        ),
        (|machine, _| machine.esp(&[0; 4096]), "no FAT"),
        (
            |machine, text| {
                machine.fw_cfg(
                    "opt/org.keelson/config",
                    format!("#keelson-document length=3 sha256=00\n{text}").as_bytes(),
                )
            },
            "cut it short",
        ),
    ];
    for (give, expected) in cases {
        let machine = Machine::new();
        give(&machine, secret);
        let status = machine.boot().status;
        let text = status.lines().join("\n");
        assert_eq!(status.state, State::Rejected, "{text}");
        assert!(text.contains(expected) && !text.contains("hunter2"), "{text}");
    }
}

/// An EFI system partition with the document under both names.
fn both(bytes: &[u8]) -> Vec<u8> {
    let mut disk = std::io::Cursor::new(fat("ESP", 1 << 20, &[("keelson/config.toml", bytes)]));
    {
        let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new()).unwrap();
        volume
            .root_dir()
            .create_file("keelson/user-data")
            .unwrap()
            .write_all(bytes)
            .unwrap();
    }
    disk.into_inner()
}

#[test]
fn looking_takes_no_time_where_there_is_nothing() {
    let machine = Machine::new();
    let status = machine.boot().status;
    assert_eq!(status.state, State::None);
    assert!(status.looking_ms <= 50, "{} ms", status.looking_ms);
}
