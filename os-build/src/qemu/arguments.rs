//! What a machine looks like, and the QEMU command line for it. Pure.
//!
//! Source: qemu-system-x86_64(1), 7.2.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::accel::Accel;

/// The controller a disk hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bus {
    /// virtio-blk on PCI.
    #[default]
    VirtioBlk,
    /// A disk on a virtio-scsi controller.
    VirtioScsi,
    /// A disk on the chipset's AHCI controller.
    Ahci,
    /// An NVMe drive.
    Nvme,
    /// A stick on a USB 3 controller of its own.
    Usb,
    /// A disk that speaks USB Attached SCSI, on a USB 3 controller of its own.
    Uas,
    /// A disc in an optical drive on the chipset's AHCI controller; read-only.
    Cdrom,
}

/// A network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Card {
    /// virtio-net on PCI.
    #[default]
    Virtio,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Intel 82576.
    Igb,
}

impl Card {
    const fn device(self) -> &'static str {
        match self {
            Card::Virtio => "virtio-net-pci",
            Card::E1000 => "e1000",
            Card::E1000e => "e1000e",
            Card::Igb => "igb",
        }
    }
}

/// How a disk lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Byte for byte.
    #[default]
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl Layout {
    const fn driver(self) -> &'static str {
        match self {
            Layout::Raw => "raw",
            Layout::Qcow2 => "qcow2",
        }
    }
}

/// A disk in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file.
    pub path: PathBuf,
    /// How the disk lies in it.
    pub layout: Layout,
    /// Serial number the guest sees.
    pub serial: String,
    /// Controller.
    pub bus: Bus,
    /// Whether the guest may write.
    pub read_only: bool,
    /// Records every write and flush here, in the format of the kernel's dm-log-writes (virtio-blk only).
    pub write_log: Option<PathBuf>,
    /// Rank in the firmware's boot order; `None` leaves the disk out of it.
    pub boot_index: Option<u8>,
}

impl Disk {
    /// A writable virtio disk.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, serial: &str) -> Disk {
        Disk {
            path: path.into(),
            layout: Layout::default(),
            serial: serial.to_owned(),
            bus: Bus::VirtioBlk,
            read_only: false,
            write_log: None,
            boot_index: None,
        }
    }

    /// The disk the machine boots from.
    #[must_use]
    pub fn system(path: impl Into<PathBuf>) -> Disk {
        Disk {
            boot_index: Some(0),
            ..Disk::new(path, "keelson-system")
        }
    }

    /// A read-only disk, for instance a provisioning volume.
    #[must_use]
    pub fn read_only(path: impl Into<PathBuf>, serial: &str) -> Disk {
        Disk {
            read_only: true,
            ..Disk::new(path, serial)
        }
    }
}

/// Transport of a forwarded port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host's loopback address that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Transport.
    pub protocol: Protocol,
    /// Port on 127.0.0.1 of the host.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
}

/// A further network card whose frames travel as datagrams over the host's loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// Hardware address of the card.
    pub mac: String,
    /// Port the machine listens at.
    pub machine: u16,
    /// Port its frames are sent to.
    pub neighbour: u16,
}

/// A program on the host that answers at an address of the guest's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The guest's network, in which the address lies, for instance `169.254.0.0/16`.
    pub network: String,
    /// Address and port.
    pub address: String,
    /// Run for each connection, with the connection as standard input and output; words separated by blanks.
    pub command: String,
}

/// A machine before it runs.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u8,
    /// Whether the processor hides that it is a virtual one. The boot loader takes its times only then.
    pub bare_processor: bool,
    /// Executable part of the firmware.
    pub firmware_code: PathBuf,
    /// Variable store of the firmware, private to this machine and writable.
    pub firmware_vars: PathBuf,
    /// Disks in the order of their controllers.
    pub disks: Vec<Disk>,
    /// Ports that lead into the guest; `None` makes a machine without a network.
    pub forwards: Option<Vec<Forward>>,
    /// The network card.
    pub card: Card,
    /// Further cards, `wire0`, `wire1` … for the monitor.
    pub wires: Vec<Wire>,
    /// A tap device of [`MachineSpec::namespace`] the machine hangs on instead of QEMU's own network.
    pub tap: Option<String>,
    /// The network namespace QEMU is started in (as `ip netns` names it; needs root).
    pub namespace: Option<String>,
    /// Words the boot stub appends to the kernel command line (SMBIOS type 11).
    pub kernel_words: Vec<String>,
    /// Blobs of the firmware configuration device: name and file.
    pub fw_cfg: Vec<(String, PathBuf)>,
    /// Further `-smbios` values, for instance `type=1,manufacturer=Amazon EC2`.
    pub smbios: Vec<String>,
    /// A network other than QEMU's usual one, with a program behind a TCP address of it, and nothing beyond it.
    pub service: Option<Service>,
    /// Start of the guest's clock as `-rtc base=` takes it, for instance `1970-01-01T00:00:00`.
    pub clock_base: Option<String>,
    /// Whether the firmware code is one with Secure Boot: its variables are out of the system's reach.
    pub secure: bool,
    /// Socket of a software TPM (`swtpm`) that the machine gets.
    pub tpm: Option<PathBuf>,
    /// Whether to give the machine an i6300esb watchdog that resets it.
    pub watchdog: bool,
    /// How instructions are run.
    pub accel: Accel,
    /// Exit instead of resetting when the guest reboots.
    pub stop_on_reboot: bool,
}

impl MachineSpec {
    /// A machine of one processor and 1 GiB with the given firmware and system disk.
    #[must_use]
    pub fn new(firmware_code: &Path, firmware_vars: &Path, system: Disk) -> MachineSpec {
        MachineSpec {
            memory_mib: 1024,
            cpus: 1,
            bare_processor: false,
            firmware_code: firmware_code.to_owned(),
            firmware_vars: firmware_vars.to_owned(),
            disks: vec![system],
            forwards: Some(Vec::new()),
            card: Card::default(),
            wires: Vec::new(),
            tap: None,
            namespace: None,
            kernel_words: Vec::new(),
            fw_cfg: Vec::new(),
            smbios: Vec::new(),
            service: None,
            clock_base: None,
            secure: false,
            tpm: None,
            watchdog: false,
            accel: Accel::Tcg,
            stop_on_reboot: false,
        }
    }

    /// The arguments for `qemu-system-x86_64`. The console is standard output, the monitor listens at `monitor`.
    #[must_use]
    pub fn arguments(&self, monitor: &Path) -> Vec<OsString> {
        let mut line = Line::default();
        line.pair("-nodefaults", None);
        line.pair("-display", Some("none"));
        line.pair("-machine", Some(if self.secure { "q35,smm=on" } else { "q35" }));
        if self.secure {
            line.pair("-global", Some("driver=cfi.pflash01,property=secure,value=on"));
            // The firmware cannot wake a machine up while it keeps secrets.
            line.pair("-global", Some("ICH9-LPC.disable_s3=1"));
        }
        line.pair("-accel", Some(self.accel.argument()));
        line.pair(
            "-cpu",
            Some(if self.bare_processor { "max,-hypervisor" } else { "max" }),
        );
        line.pair("-m", Some(&self.memory_mib.to_string()));
        line.pair("-smp", Some(&self.cpus.to_string()));
        line.pair("-chardev", Some("stdio,id=console,signal=off"));
        line.pair("-serial", Some("chardev:console"));
        line.pair("-qmp", Some(&format!("unix:{},server=on,wait=off", comma(monitor))));
        line.pair("-drive", Some(&pflash(&self.firmware_code, true)));
        line.pair("-drive", Some(&pflash(&self.firmware_vars, false)));
        line.pair("-device", Some("virtio-rng-pci"));
        // Tells from outside how much memory the guest has left.
        line.pair("-device", Some("virtio-balloon-pci,id=balloon"));
        self.disks
            .iter()
            .enumerate()
            .for_each(|(index, disk)| line.disk(index, disk));
        match &self.tap {
            Some(tap) => line.tap(tap, self.card),
            None => line.network(self.forwards.as_deref(), self.service.as_ref(), self.card),
        }
        for (name, file) in &self.fw_cfg {
            line.pair("-fw_cfg", Some(&format!("name={name},file={}", comma(file))));
        }
        for value in &self.smbios {
            line.pair("-smbios", Some(value));
        }
        self.wires
            .iter()
            .enumerate()
            .for_each(|(index, wire)| line.wire(index, wire));
        if !self.kernel_words.is_empty() {
            let words = self.kernel_words.join(" ").replace(',', ",,");
            line.pair(
                "-smbios",
                Some(&format!("type=11,value=io.systemd.stub.kernel-cmdline-extra={words}")),
            );
        }
        if let Some(base) = &self.clock_base {
            line.pair("-rtc", Some(&format!("base={base}")));
        }
        if let Some(socket) = &self.tpm {
            line.pair("-chardev", Some(&format!("socket,id=tpm,path={}", comma(socket))));
            line.pair("-tpmdev", Some("emulator,id=tpm0,chardev=tpm"));
            line.device("tpm-crb,tpmdev=tpm0");
        }
        if self.watchdog {
            line.pair("-device", Some("i6300esb"));
            line.pair("-action", Some("watchdog=reset"));
        }
        if self.stop_on_reboot {
            line.pair("-no-reboot", None);
        }
        line.0
    }
}

/// QEMU takes a comma inside a value as two commas.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

fn pflash(path: &Path, read_only: bool) -> String {
    let read_only = if read_only { "on" } else { "off" };
    format!("if=pflash,format=raw,readonly={read_only},file={}", comma(path))
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn pair(&mut self, flag: &str, value: Option<&str>) {
        self.0.push(flag.into());
        self.0.extend(value.map(OsString::from));
    }

    fn disk(&mut self, index: usize, disk: &Disk) {
        let read_only = if disk.read_only { "on" } else { "off" };
        let (driver, file) = (disk.layout.driver(), comma(&disk.path));
        self.pair(
            "-blockdev",
            Some(&format!(
                "driver={driver},node-name=raw{index},read-only={read_only},file.driver=file,file.filename={file}"
            )),
        );
        let node = self.write_log(index, disk).unwrap_or_else(|| format!("raw{index}"));
        let boot = disk
            .boot_index
            .map(|rank| format!(",bootindex={rank}"))
            .unwrap_or_default();
        let serial = &disk.serial;
        match disk.bus {
            // Merged requests overflow the write log's vector limit and fail as I/O errors in the guest.
            Bus::VirtioBlk if disk.write_log.is_some() => self.device(&format!(
                "virtio-blk-pci,drive={node},serial={serial},request-merging=off{boot}"
            )),
            Bus::VirtioBlk => self.device(&format!("virtio-blk-pci,drive={node},serial={serial}{boot}")),
            Bus::VirtioScsi => {
                self.device(&format!("virtio-scsi-pci,id=scsi{index}"));
                self.device(&format!("scsi-hd,bus=scsi{index}.0,drive={node},serial={serial}{boot}"));
            }
            Bus::Ahci => self.device(&format!("ide-hd,bus=ide.{index},drive={node},serial={serial}{boot}")),
            Bus::Usb => {
                self.device(&format!("qemu-xhci,id=usb{index}"));
                self.device(&format!(
                    "usb-storage,bus=usb{index}.0,drive={node},serial={serial},removable=on{boot}"
                ));
            }
            Bus::Uas => {
                self.device(&format!("qemu-xhci,id=usb{index}"));
                self.device(&format!("usb-uas,id=uas{index},bus=usb{index}.0"));
                self.device(&format!("scsi-hd,bus=uas{index}.0,drive={node},serial={serial}{boot}"));
            }
            Bus::Cdrom => self.device(&format!("ide-cd,bus=ide.{index},drive={node},serial={serial}{boot}")),
            Bus::Nvme => self.device(&format!("nvme,drive={node},serial={serial}{boot}")),
        }
    }

    /// Puts the recording driver in front of a disk and names the node that results.
    fn write_log(&mut self, index: usize, disk: &Disk) -> Option<String> {
        let log = comma(disk.write_log.as_deref()?);
        self.pair(
            "-blockdev",
            Some(&format!("driver=file,node-name=log{index},filename={log}")),
        );
        self.pair(
            "-blockdev",
            Some(&format!(
                "driver=blklogwrites,node-name=rec{index},file=raw{index},log=log{index},log-sector-size=512"
            )),
        );
        Some(format!("rec{index}"))
    }

    fn device(&mut self, device: &str) {
        self.pair("-device", Some(device));
    }

    fn network(&mut self, forwards: Option<&[Forward]>, service: Option<&Service>, card: Card) {
        let Some(forwards) = forwards else { return };
        let mut user = "user,id=net0".to_owned();
        if let Some(Service {
            network,
            address,
            command,
        }) = service
        {
            let command = command.replace(',', ",,");
            user.push_str(&format!(
                ",net={network},restrict=on,guestfwd=tcp:{address}-cmd:{command}"
            ));
        }
        for forward in forwards {
            let protocol = match forward.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            user.push_str(&format!(
                ",hostfwd={protocol}:127.0.0.1:{}-:{}",
                forward.host, forward.guest
            ));
        }
        self.pair("-netdev", Some(&user));
        self.network_card(card);
    }

    fn wire(&mut self, index: usize, wire: &Wire) {
        let Wire {
            mac,
            machine,
            neighbour,
        } = wire;
        let back = format!("socket,id=link{index},udp=127.0.0.1:{neighbour},localaddr=127.0.0.1:{machine}");
        self.pair("-netdev", Some(&back));
        self.device(&format!(
            "virtio-net-pci,id=wire{index},netdev=link{index},mac={mac},romfile="
        ));
    }

    fn tap(&mut self, name: &str, card: Card) {
        self.pair(
            "-netdev",
            Some(&format!("tap,id=net0,ifname={name},script=no,downscript=no")),
        );
        self.network_card(card);
    }

    /// Without an option ROM the firmware does not try to boot from the network.
    fn network_card(&mut self, card: Card) {
        self.device(&format!("{},netdev=net0,romfile=", card.device()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut MachineSpec)) -> String {
        let mut spec = MachineSpec::new(Path::new("code.fd"), Path::new("vars,1.fd"), Disk::system("disk.img"));
        change(&mut spec);
        let arguments = spec.arguments(Path::new("qmp"));
        arguments
            .iter()
            .map(|argument| argument.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert!(line(|_| ()).contains("file=vars,,1.fd"));
    }

    #[test]
    fn a_recorded_disk_goes_through_the_log_without_merging() {
        let text = line(|spec| spec.disks[0].write_log = Some("w.log".into()));
        assert!(text.contains("driver=blklogwrites,node-name=rec0,file=raw0,log=log0"));
        assert!(text.contains("virtio-blk-pci,drive=rec0,serial=keelson-system,request-merging=off,bootindex=0"));
    }

    #[test]
    fn firmware_and_network_can_say_more() {
        let text = line(|spec| {
            spec.fw_cfg = vec![("opt/org.keelson/config".into(), "a,b".into())];
            spec.smbios = vec!["type=1,manufacturer=Amazon EC2".into()];
            spec.service = Some(Service {
                network: "169.254.0.0/16".into(),
                address: "169.254.169.254:80".into(),
                command: "mock doc".into(),
            });
        });
        assert!(text.contains("-fw_cfg name=opt/org.keelson/config,file=a,,b"));
        assert!(text.contains("-smbios type=1,manufacturer=Amazon EC2"));
        assert!(text.contains("net=169.254.0.0/16,restrict=on,guestfwd=tcp:169.254.169.254:80-cmd:mock doc"));
    }

    #[test]
    fn ports_are_forwarded_from_loopback_only() {
        let forward = Forward {
            protocol: Protocol::Tcp,
            host: 8080,
            guest: 80,
        };
        assert!(line(|spec| spec.forwards = Some(vec![forward])).contains("hostfwd=tcp:127.0.0.1:8080-:80"));
        assert!(!line(|spec| spec.forwards = None).contains("netdev"));
    }

    #[test]
    fn a_locked_machine_keeps_its_variables_and_has_a_tpm() {
        let text = line(|spec| {
            spec.secure = true;
            spec.tpm = Some("tpm,1".into());
        });
        assert!(text.contains("-machine q35,smm=on -global driver=cfi.pflash01,property=secure,value=on"));
        assert!(text.contains("path=tpm,,1") && text.contains("tpm-crb"));
        assert!(!line(|_| ()).contains("smm"));
    }

    #[test]
    fn a_stick_has_its_controller_and_the_card_is_the_one_asked_for() {
        let text = line(|spec| {
            spec.disks[0].bus = Bus::Usb;
            spec.card = Card::E1000e;
        });
        assert!(text.contains("-device qemu-xhci,id=usb0 -device usb-storage,bus=usb0.0,drive=raw0"));
        assert!(text.contains("-device e1000e,netdev=net0,romfile="));
        let text = line(|spec| spec.disks[0].bus = Bus::Uas);
        assert!(text.contains("usb-uas,id=uas0,bus=usb0.0 -device scsi-hd,bus=uas0.0,drive=raw0"));
    }

    #[test]
    fn a_disk_is_read_as_it_lies_in_its_file() {
        assert!(line(|_| ()).contains("driver=raw,node-name=raw0"));
        assert!(line(|spec| spec.disks[0].layout = Layout::Qcow2).contains("driver=qcow2,node-name=raw0"));
    }

    #[test]
    fn a_bare_processor_hides_what_it_is() {
        assert!(line(|spec| spec.bare_processor = true).contains("-cpu max,-hypervisor"));
        assert!(line(|_| ()).contains("-cpu max "));
    }

    #[test]
    fn test_words_reach_the_kernel_through_smbios() {
        let text = line(|spec| spec.kernel_words = vec!["no_timer_check".into(), "a=b,c".into()]);
        assert!(text.contains("type=11,value=io.systemd.stub.kernel-cmdline-extra=no_timer_check a=b,,c"));
    }
}
