//! The devices PID 1 itself uses: the power button and the watchdog. They may appear at any time, since their drivers
//! are loaded while services already start; a machine without them is a machine without them.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use keelson_sys::watchdog::Watchdog;
use rustix::fs::OFlags;
use rustix::net::SocketFlags;

use super::sources::{Source, Sources};
use super::uevent::{self, Received};

/// A machine whose PID 1 does not come round within this time is reset.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the watchdog is fed.
const FEED_EVERY: Duration = Duration::from_secs(15);
const WATCHDOG: &str = "watchdog";
/// `EV_KEY`, `KEY_POWER` and the value of a press (`linux/input-event-codes.h`).
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
const PRESSED: i32 = 1;
/// `struct input_event` on a 64-bit machine: 16 bytes of time, type, code, value.
const INPUT_EVENT_BYTES: usize = 24;

/// Power buttons and watchdog.
#[derive(Debug)]
pub struct Hardware {
    events: Option<OwnedFd>,
    buttons: Vec<File>,
    watchdog: Option<Watchdog>,
    feed_at: Duration,
}

impl Hardware {
    /// Listens for devices and takes those that are there.
    #[must_use]
    pub fn open(sources: &Sources) -> Self {
        let events = uevent::open(SocketFlags::NONBLOCK).inspect_err(|error| {
            log::warn!("no device events: {error}");
        });
        let mut hardware = Hardware {
            events: events.ok(),
            buttons: Vec::new(),
            watchdog: None,
            feed_at: Duration::ZERO,
        };
        if let Some(events) = &hardware.events
            && let Err(error) = sources.watch(events, Source::Devices)
        {
            log::warn!("device events are not watched: {error}");
        }
        hardware.arm(Watchdog::inherited());
        hardware.scan(sources);
        hardware
    }

    /// Reads device events and takes what has appeared.
    pub fn drain(&mut self, sources: &Sources) {
        loop {
            let Some(events) = &self.events else { return };
            match uevent::receive(events) {
                Received::Event(event) if event.action == "add" => {
                    if let Some(node) = event.node {
                        self.take(&node, sources);
                    }
                }
                Received::Event(_) => {}
                // Perhaps some were lost: look at everything.
                Received::Other => self.scan(sources),
                Received::Nothing => return,
            }
        }
    }

    fn scan(&mut self, sources: &Sources) {
        let inputs = fs::read_dir("/dev/input").into_iter().flatten().flatten();
        let nodes: Vec<String> = inputs
            .map(|entry| format!("input/{}", entry.file_name().to_string_lossy()))
            .collect();
        // Taking a button twice is avoided by starting over.
        self.buttons.clear();
        for node in nodes {
            self.take(&node, sources);
        }
        self.take(WATCHDOG, sources);
    }

    fn take(&mut self, node: &str, sources: &Sources) {
        if node == WATCHDOG && self.watchdog.is_none() {
            self.arm(Watchdog::open(Path::new("/dev/watchdog")).ok());
        }
        let Some(event) = node.strip_prefix("input/").filter(|name| name.starts_with("event")) else {
            return;
        };
        let keys = fs::read_to_string(format!("/sys/class/input/{event}/device/capabilities/key")).unwrap_or_default();
        if !has_key(&keys, KEY_POWER) {
            return;
        }
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let Ok(button) = File::options()
            .read(true)
            .custom_flags(flags)
            .open(format!("/dev/{node}"))
        else {
            return;
        };
        let index = u32::try_from(self.buttons.len()).unwrap_or(u32::MAX);
        if sources.watch(&button, Source::Button(index)).is_ok() {
            log::info!(device = node; "power button");
            self.buttons.push(button);
        }
    }

    fn arm(&mut self, watchdog: Option<Watchdog>) {
        let Some(mut watchdog) = watchdog else { return };
        match watchdog.set_timeout(WATCHDOG_TIMEOUT) {
            Ok(timeout) => log::info!("watchdog armed: {timeout:?}"),
            Err(error) => log::info!("watchdog armed with a timeout of its own: {error}"),
        }
        self.watchdog = Some(watchdog);
        self.feed_at = Duration::ZERO;
    }

    /// Whether the power button was pressed.
    pub fn is_pressed(&mut self, index: u32) -> bool {
        let Some(button) = self.buttons.get_mut(index as usize) else {
            return false;
        };
        let mut bytes = [0; INPUT_EVENT_BYTES * 16];
        let mut pressed = false;
        while let Ok(length @ 1..) = button.read(&mut bytes) {
            pressed |= has_press(bytes.get(..length).unwrap_or_default());
        }
        pressed
    }

    /// Feeds the watchdog if it is time.
    pub fn feed(&mut self, now: Duration) {
        let Some(watchdog) = self.watchdog.as_mut().filter(|_| now >= self.feed_at) else {
            return;
        };
        if let Err(error) = watchdog.feed() {
            log::warn!("watchdog is not fed: {error}");
        }
        self.feed_at = now + FEED_EVERY;
    }

    /// When the loop has to come round for the watchdog.
    #[must_use]
    pub fn feed_at(&self) -> Option<Duration> {
        self.watchdog.as_ref().map(|_| self.feed_at)
    }

    /// The watchdog, for the next program image or for the last steps of a shutdown.
    pub fn take_watchdog(&mut self) -> Option<Watchdog> {
        self.watchdog.take()
    }

    /// Opens the watchdog again after it was given away for nothing.
    pub fn rearm(&mut self) {
        self.arm(Watchdog::open(Path::new("/dev/watchdog")).ok());
    }
}

/// Whether a key is in the bit mask sysfs shows: words of 64 bits in hexadecimal, the highest first.
fn has_key(mask: &str, key: u16) -> bool {
    let word = mask.split_whitespace().rev().nth(usize::from(key / 64));
    word.and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word & (1 << (key % 64)) != 0)
}

/// Whether input events contain a press of the power key.
fn has_press(bytes: &[u8]) -> bool {
    bytes.chunks_exact(INPUT_EVENT_BYTES).any(|event| {
        let field = |at: usize| {
            event
                .get(at..at + 2)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u16::from_ne_bytes)
        };
        let value = event
            .get(20..24)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_ne_bytes);
        (field(16), field(18), value) == (Some(EV_KEY), Some(KEY_POWER), Some(PRESSED))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_key_is_found_in_masks() {
        assert!(has_key("10000000000000 0\n", KEY_POWER));
        assert!(!has_key("0\n", KEY_POWER));
        assert!(!has_key("", KEY_POWER));
        assert!(has_key("3ff 10000000000000 ffffffffffffffff", KEY_POWER));
    }

    #[test]
    fn only_a_press_of_the_power_key_counts() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = vec![0; 16];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
            bytes
        };
        assert!(has_press(&[event(0, 0, 0), event(1, 116, 1)].concat()));
        for other in [
            event(1, 116, 0),
            event(1, 30, 1),
            event(1, 116, 1)[..20].to_vec(),
            Vec::new(),
        ] {
            assert!(!has_press(&other));
        }
    }
}
