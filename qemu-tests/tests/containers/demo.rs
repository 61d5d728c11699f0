//! Real software, as the README shows it.

use anyhow::{Result, ensure};
use keelson_qemu_tests::fetch::get_within;
use keelson_qemu_tests::registry::Images;
use keelson_qemu_tests::{Environment, Lab};

use keelson_qemu_tests::provisioned::{FIRST_ANSWER, boot};

pub fn answers(environment: &Environment) -> Result<()> {
    serves(environment, "demo", 1024)
}

pub fn small(environment: &Environment) -> Result<()> {
    serves(environment, "demo-192", 192)
}

fn serves(environment: &Environment, name: &str, memory_mib: u32) -> Result<()> {
    Lab::run(environment, name, |lab| {
        let images = Images::with_demo(lab.directory())?;
        let document = |images: &Images| {
            format!(
                "[container.web]\nimage = \"{}\"\nports = [\"80:80\"]\n",
                images.reference("demo")
            )
        };
        let machine = boot(lab, images, document, |spec| spec.memory_mib = memory_mib)?;
        let page = get_within(machine.port(), "/", FIRST_ANSWER)?;
        ensure!(page.contains("Keelson"), "another page: {page}");
        ensure!(machine.guest.power_off()?.success(), "QEMU ended with a failure");
        let (clean, words) = machine.disk.check_state()?;
        ensure!(clean, "the state file system is not clean: {words}");
        Ok(())
    })
}
