//! Documents from every kind of source, on the machine as shipped.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_os_build::qemu::{Bus, Disk, MachineSpec, Service};
use keelson_qemu_tests::config_drive::config_drive;
use keelson_qemu_tests::ssh::succeed;
use keelson_qemu_tests::{DiskFile, Environment, Lab};

/// What the firmware of an instance of EC2 says of it.
const EC2: &str = "type=1,manufacturer=Amazon EC2,product=t3.micro,serial=ec2ae145-d1dc-13b2-94ed-01234abcdef0,\
                   uuid=ec2ae145-d1dc-13b2-94ed-01234abcdef0";

fn document(hostname: &str) -> String {
    format!("schema = 1\n[system]\nhostname = \"{hostname}\"\n")
}

/// Boots once; gives what the console said of the configuration.
fn boot(lab: &Lab, name: &str, disk: &DiskFile, change: impl FnOnce(&mut MachineSpec)) -> Result<String> {
    let guest = lab.boot(name, disk, change)?;
    let text = guest.machine.console().text();
    guest.power_off()?;
    let lines = text.lines().filter(|line| line.contains("keelson: config: "));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn ensure_applied(said: &str, source: &str, disk: &DiskFile, hostname: &str) -> Result<()> {
    ensure!(
        said.contains("config: applied") && said.contains(source),
        "not applied from {source}:\n{said}"
    );
    let config = disk.state_file("/config/current/machine.json")?;
    ensure!(
        config.contains(&format!("{hostname:?}")),
        "the name is not {hostname}:\n{config}"
    );
    Ok(())
}

fn file(lab: &Lab, name: &str, content: &str) -> Result<PathBuf> {
    let path = lab.directory().join(name);
    std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// QEMU's firmware device comes before a config drive, and that is said.
pub fn firmware(environment: &Environment) -> Result<()> {
    Lab::run(environment, "source-fw-cfg", |lab| {
        let disk = lab.disk("system")?;
        let given = file(lab, "given.toml", &document("firmware"))?;
        let drive = config_drive(lab.directory(), "drive", &document("drive"), None)?;
        let said = boot(lab, "first", &disk, |spec| {
            spec.fw_cfg = vec![("opt/org.keelson/config".into(), given)];
            spec.disks.push(Disk::read_only(&drive, "drive"));
        })?;
        ensure_applied(&said, "from QEMU fw_cfg opt/org.keelson/config", &disk, "firmware")?;
        ensure!(
            said.contains("comes before it"),
            "the drive is passed over in silence:\n{said}"
        );
        Ok(())
    })
}

/// The metadata service is asked because the firmware names it, and waited for.
pub fn ec2(environment: &Environment) -> Result<()> {
    Lab::run(environment, "source-ec2", |lab| {
        let disk = lab.disk("system")?;
        let given = file(lab, "given.toml", &document("instance"))?;
        let command = format!("{} {}", mock()?.display(), given.display());
        let said = boot(lab, "first", &disk, |spec| serve(spec, command))?;
        ensure!(
            said.contains("asking EC2's metadata service"),
            "it is not said that it is asked:\n{said}"
        );
        ensure_applied(
            &said,
            "from EC2's metadata service at 169.254.169.254",
            &disk,
            "instance",
        )?;
        Ok(())
    })
}

/// Makes a machine an instance with a metadata service, which a program answers.
fn serve(spec: &mut MachineSpec, command: String) {
    spec.smbios = vec![EC2.into()];
    spec.service = Some(Service {
        network: "169.254.0.0/16".into(),
        address: "169.254.169.254:80".into(),
        command,
    });
}

/// A service that takes connections and says nothing, then one whose document is a bomb: the machine says what is wrong
/// and comes up without a document.
pub fn ec2_at_fault(environment: &Environment) -> Result<()> {
    Lab::run(environment, "source-ec2-at-fault", |lab| {
        let disk = lab.disk("system")?;
        let bomb = bomb(lab)?;
        let mock = format!("{} {}", mock()?.display(), bomb.display());
        let said = boot(lab, "silent", &disk, |spec| serve(spec, format!("{mock} hang")))?;
        ensure!(
            said.contains("the network gives none yet") && said.contains("takes the connection and sends nothing"),
            "it is not said what is wrong:\n{said}"
        );
        let said = boot(lab, "bomb", &disk, |spec| serve(spec, mock))?;
        ensure!(
            said.contains("is not used: it expands to more than"),
            "the bomb is not told:\n{said}"
        );
        ensure!(
            disk.state_file("/config/current/machine.json").is_err(),
            "something was applied"
        );
        Ok(())
    })
}

/// 64 MiB in a few kilobytes.
fn bomb(lab: &Lab) -> Result<PathBuf> {
    let path = lab.directory().join("bomb");
    std::fs::File::create(&path)?.set_len(64 << 20)?;
    succeed(Command::new("gzip").arg("-9").arg(&path))?;
    Ok(path.with_extension("gz"))
}

/// A service that is not there: the machine says so in time, and comes up.
pub fn ec2_unreachable(environment: &Environment) -> Result<()> {
    Lab::run(environment, "source-ec2-unreachable", |lab| {
        let disk = lab.disk("system")?;
        let said = boot(lab, "alone", &disk, |spec| {
            spec.smbios = vec![EC2.into()];
            // A network of its own: what the guest asks must never reach a metadata service of the host's.
            spec.service = Some(Service {
                network: "169.254.0.0/16".into(),
                address: "169.254.3.3:80".into(),
                command: "false".into(),
            });
        })?;
        ensure!(
            said.contains("the network gives none yet"),
            "it is not said that nothing came:\n{said}"
        );
        ensure!(
            said.contains("169.254.169.254: it cannot be connected"),
            "it is not said what is wrong:\n{said}"
        );
        Ok(())
    })
}

/// Each of the other sources on a machine of its own.
pub fn others(environment: &Environment) -> Result<()> {
    Lab::run(environment, "sources", |lab| {
        let disk = lab.disk("smbios")?;
        let encoded = STANDARD.encode(document("smbios"));
        let strings = file(
            lab,
            "strings",
            &format!("io.systemd.credential.binary:keelson.config={encoded}"),
        )?;
        let said = boot(lab, "smbios", &disk, |spec| {
            spec.smbios = vec![format!("type=11,path={}", strings.display())]
        })?;
        ensure_applied(&said, "from SMBIOS string keelson.config", &disk, "smbios")?;

        let disk = lab.disk("esp")?;
        disk.write_esp_file("config.toml", document("esp").as_bytes())?;
        let said = boot(lab, "esp", &disk, |_| ())?;
        ensure_applied(&said, "keelson/config.toml on the EFI system partition", &disk, "esp")?;

        let disk = lab.disk("config-drive")?;
        let drive = config_drive(lab.directory(), "drive", &document("drive"), None)?;
        let said = boot(lab, "config-drive", &disk, |spec| {
            spec.disks.push(Disk::read_only(&drive, "drive"))
        })?;
        ensure_applied(&said, "from config drive (vfat", &disk, "drive")?;

        let disk = lab.disk("iso")?;
        let medium = iso(lab, &document("iso"))?;
        let said = boot(lab, "iso", &disk, |spec| {
            spec.disks.push(Disk {
                bus: Bus::Cdrom,
                ..Disk::read_only(&medium, "medium")
            });
        })?;
        ensure_applied(&said, "volume cidata (iso9660", &disk, "iso")
    })
}

/// A NoCloud volume as common tools write it onto an optical medium.
fn iso(lab: &Lab, document: &str) -> Result<PathBuf> {
    let folder = lab.directory().join("medium");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("user-data"), document)?;
    std::fs::write(folder.join("meta-data"), "instance-id: i-1\n")?;
    let path = lab.directory().join("medium.iso");
    let made = Command::new("xorriso")
        .args(["-as", "genisoimage", "-quiet", "-V", "cidata", "-J", "-r", "-o"])
        .args([&path, &folder])
        .output()
        .context("run xorriso")?;
    ensure!(
        made.status.success(),
        "xorriso: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(path)
}

/// The mock of the metadata service, beside the folder of the tests.
fn mock() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("metadata-mock"));
    beside
        .find(|path| path.is_file())
        .context("find the mock (run `./just programs`)")
}
