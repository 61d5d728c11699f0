//! A cloud-config on a NoCloud volume, one with mistakes after it, and the same wishes in the native format, seen from
//! a container.

use std::time::Duration;

use anyhow::{Result, ensure};
use keelson_os_build::qemu::{Disk, Forward, Protocol};
use keelson_qemu_tests::fetch::{free_port, get, get_within};
use keelson_qemu_tests::registry::{Images, seed};
use keelson_qemu_tests::{DiskFile, Environment, Lab, journal};

/// How long a container may take from boot to its first answer, pull included, on a busy machine.
const FIRST_ANSWER: Duration = Duration::from_secs(180);

const RICH: &str = "\
#cloud-config
hostname: web-7
fqdn: web-7.example.org
timezone: Europe/Berlin
locale: de_DE.UTF-8
package_update: yes
packages: [docker.io]
ssh_pwauth: false
disable_root: true
users:
  - default
  - name: ann
    groups: [docker, users]
    sudo: ALL=(ALL) NOPASSWD:ALL
    shell: /bin/bash
    ssh_authorized_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAzKfjUkBvcDtpZDPDM4dFT+PX8QgvTzKacsDX322N2 ann@laptop
write_files:
  - path: /etc/app/app.conf
    permissions: 0644
    content: |
      mode = fast
  - path: /srv/app/token
    permissions: '0600'
    owner: ann:ann
    encoding: b64
    content: c2VjcmV0LWNhbmFyeQ==
ntp:
  servers: [192.0.2.1]
  pools: [pool.example]
final_message: done
";

const MISTAKEN: &str = "\
#cloud-config
hostname: other
users:
  - name: ann
   groups: docker
write_files:
  - path: /usr/local/bin/x
    permissions: 755
runcmd:
  - echo token-canary
";

/// What the state partition says is in force.
fn in_force(disk: &DiskFile) -> Result<String> {
    disk.state_file("/config/current/machine.json")
}

/// Everything of the first document is in force, and nothing of the second.
pub fn applied_whole_or_not_at_all(environment: &Environment) -> Result<()> {
    Lab::run(environment, "cloud-config", |lab| {
        let disk = lab.disk("system")?;
        let boot = |name: &str, document: &str| -> Result<String> {
            let volume = seed(lab.directory(), name, document)?;
            let guest = lab.boot(name, &disk, |spec| spec.disks.push(Disk::read_only(&volume, "seed")))?;
            let console = guest.machine.console().text();
            guest.power_off()?;
            Ok(console)
        };
        let console = boot("rich", RICH)?;
        ensure!(
            console.contains("config: applied "),
            "the console does not say that it is applied"
        );
        ensure!(!console.contains("degraded"), "something is not as the document says");
        let before = in_force(&disk)?;
        for expected in [
            "\"hostname\": \"web-7\"",
            "\"fqdn\": \"web-7.example.org\"",
            "\"timezone\": \"Europe/Berlin\"",
            "\"name\": \"ann\"",
            "\"path\": \"/etc/app/app.conf\"",
            "\"content\": \"mode = fast\\n\"",
            "\"secret\": \"file-1\"",
            "\"pool.example\"",
        ] {
            ensure!(before.contains(expected), "{expected} is not in force");
        }
        ensure!(!before.contains("canary"), "a secret is in the configuration");
        let document = disk.state_file("/config/current/document.toml")?;
        ensure!(!document.contains("c2VjcmV0"), "a secret is in the generation");

        let console = boot("mistaken", MISTAKEN)?;
        for expected in [
            "refused, nothing of it is applied: 4 errors",
            "user-data:5:1",
            "in force: the configuration from before",
        ] {
            ensure!(console.contains(expected), "the console does not say {expected:?}");
        }
        ensure!(in_force(&disk)? == before, "the configuration is another");
        let said = journal::entries(&disk, lab.directory())?;
        let messages: Vec<&str> = said.iter().filter_map(|entry| entry.fields.text("MESSAGE")).collect();
        let all = messages.join("\n");
        for expected in [
            "`runcmd`: no command can be run",
            "no file can be written to /usr/local/bin/x",
        ] {
            ensure!(all.contains(expected), "the journal does not say {expected:?}");
        }
        ensure!(
            !all.contains("canary") && !console.contains("canary"),
            "a report shows a secret"
        );
        Ok(())
    })
}

/// Files, time zone and the end of the first boot, in the native format, seen from a container.
pub fn the_native_format_says_the_same(environment: &Environment) -> Result<()> {
    const DOCUMENT: &str = "\
[system]
timezone = \"Europe/Berlin\"

[[file]]
path = \"/srv/app/greeting\"
content = \"hello from the document\"

[[file]]
path = \"/etc/app/app.conf\"
content = \"bW9kZSA9IGZhc3Q=\"
encoding = \"base64\"
mode = \"0600\"
owner = \"1234\"

[power]
after-boot = \"reboot\"
message = \"once\"

";
    const MOUNTS: &str = "ports = [\"80:80\"]\nmounts = [\
        { type = \"bind\", source = \"/srv/app\", target = \"/app\", read-only = true },\
        { type = \"bind\", source = \"/etc\", target = \"/machine\", read-only = true }]";
    Lab::run(environment, "native-files", |lab| {
        let disk = lab.disk("system")?;
        disk.enlarge(6 << 30)?;
        let images = Images::with_probe(lab.directory())?;
        let probe = images.probe_section("probe", &["serve", "80"], MOUNTS);
        let document = format!("{}{DOCUMENT}{probe}", images.section());
        let volume = seed(lab.directory(), "seed", &document)?;
        let port = free_port()?;
        let guest = lab.boot("guest", &disk, |spec| {
            spec.disks.push(Disk::read_only(&volume, "seed"));
            spec.forwards = Some(vec![Forward {
                protocol: Protocol::Tcp,
                host: port,
                guest: 80,
            }]);
        })?;
        let asked = guest.wait_for(0, "as its document asks: once")?;
        guest.wait_up(asked)?;
        get_within(port, "/ok", FIRST_ANSWER)?;
        for (path, expected) in [
            ("/app/greeting", "hello from the document"),
            ("/machine/timezone", "Europe/Berlin\n"),
            ("/machine/app/app.conf", "mode = fast"),
        ] {
            let found = get(port, &format!("/read?{path}"))?;
            ensure!(found == expected, "{path} holds {found:?}");
        }
        // Whatever the answer: the mount is read-only.
        let _ = get(port, "/write?/app/greeting");
        let found = get(port, "/read?/app/greeting")?;
        ensure!(
            found == "hello from the document",
            "a container changed a file: {found:?}"
        );
        let console = guest.machine.console().text();
        ensure!(
            console.matches("as its document asks").count() == 1,
            "the machine ended twice"
        );
        guest.power_off()?;
        Ok(())
    })
}
