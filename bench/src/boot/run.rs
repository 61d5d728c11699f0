//! One boot, watched from outside: QEMU's processor seconds and wall time at each milestone.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keelson_os_build::qemu::{Forward, Protocol};
use keelson_qemu_tests::fetch::free_port;
use keelson_qemu_tests::{Guest, Lab};

use super::system::{PATIENCE, System};
use crate::Settings;

/// What the first container's first instructions write to the console.
pub const FIRST: &str = "bench: first container";
/// The agreed moment for memory at idle.
const SETTLE: Duration = Duration::from_secs(8);
/// How often both milestones are looked for.
const GRAIN: Duration = Duration::from_millis(20);

/// The milestones of a boot, in order, in seconds from QEMU's start.
#[derive(Debug, Default)]
pub struct Times {
    /// QEMU's processor time.
    pub cpu: Vec<f64>,
    /// Wall time.
    pub wall: Vec<f64>,
}

impl Times {
    /// One line for people.
    pub fn line(&self, names: &[&str]) -> String {
        let pairs = names
            .iter()
            .zip(&self.cpu)
            .map(|(name, cpu)| format!("{name} {cpu:.2}"));
        pairs.collect::<Vec<_>>().join(", ")
    }
}

/// The guest's web server on a port of this host.
pub fn forward(host: u16) -> Forward {
    Forward {
        protocol: Protocol::Tcp,
        host,
        guest: 80,
    }
}

/// Boots a system until its web server answers.
pub fn boot(lab: &Lab, system: &System, settings: &Settings) -> Result<Times> {
    let port = free_port()?;
    let started = Instant::now();
    let guest = lab.start(system.name, &system.disk, |spec| {
        spec.cpus = settings.processors;
        spec.forwards = Some(vec![forward(port)]);
        spec.kernel_words
            .extend(system.words.iter().map(|word| (*word).to_owned()));
    })?;
    let mut times = Times::default();
    let mut from = 0;
    for mark in system.marks {
        from = guest
            .machine
            .wait_for(from, mark, PATIENCE)
            .with_context(|| system.title)?;
        let (cpu, wall) = now(&guest, started)?;
        times.cpu.push(cpu);
        times.wall.push(wall);
    }
    for (cpu, wall) in containers(&guest, from, port, started).with_context(|| system.title)? {
        times.cpu.push(cpu);
        times.wall.push(wall);
    }
    end(guest)?;
    Ok(times)
}

/// The containers start beside each other: whichever is first, both are seen when they come.
fn containers(guest: &Guest, from: usize, port: u16, started: Instant) -> Result<[(f64, f64); 2]> {
    let answered = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let asker = {
        let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && !answered.load(Ordering::Relaxed) {
                answered.store(answers(port), Ordering::Relaxed);
                std::thread::sleep(GRAIN);
            }
        })
    };
    let deadline = Instant::now() + PATIENCE;
    let (mut first, mut web) = (None, None);
    while first.is_none() || web.is_none() {
        if Instant::now() > deadline || guest.machine.ended() {
            break;
        }
        if first.is_none() && guest.machine.wait_for(from, FIRST, GRAIN).is_ok() {
            first = Some(now(guest, started)?);
        }
        if web.is_none() && answered.load(Ordering::Relaxed) {
            web = Some(now(guest, started)?);
        }
        if first.is_some() {
            std::thread::sleep(GRAIN);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let _ = asker.join();
    ensure!(
        first.is_some(),
        "the first container did not run; last lines:\n{}",
        guest.machine.tail()
    );
    let web = web.with_context(|| format!("the web server did not answer; last lines:\n{}", guest.machine.tail()))?;
    Ok([first.unwrap_or(web), web])
}

fn now(guest: &Guest, started: Instant) -> Result<(f64, f64)> {
    let cpu = guest.machine.cpu_seconds().context("read QEMU's processor time")?;
    Ok((cpu, started.elapsed().as_secs_f64()))
}

/// Whether a request gets its answer at once. QEMU accepts for a guest that is not there yet, so silence is no answer.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_millis(1000)))?;
        stream.write_all(b"GET /ok HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Memory in use some seconds after a system with nothing to run is up.
pub fn idle(lab: &Lab, system: &System, settings: &Settings) -> Result<f64> {
    let mut guest = lab.start(&format!("{}-idle", system.name), &system.idle, |spec| {
        spec.cpus = settings.processors;
        spec.kernel_words
            .extend(system.idle_words.iter().map(|word| (*word).to_owned()));
    })?;
    guest
        .machine
        .wait_for(0, system.up, PATIENCE)
        .with_context(|| system.title)?;
    let used = guest.memory_in_use(SETTLE)?;
    end(guest)?;
    Ok(used)
}

/// Every system is powered off in order: the next boot must not pay for a journal's replay.
fn end(mut guest: Guest) -> Result<()> {
    guest.machine.press_power_button()?;
    guest.machine.wait_for_end(PATIENCE).context("power off")?;
    Ok(())
}
