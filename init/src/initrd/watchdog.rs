//! The hardware watchdog, armed before the disk is touched: a hang from here on ends in a reset. It is fed between the
//! steps and handed to the system stage, which feeds it from its loop.

use std::path::Path;
use std::time::Duration;

use keelson_sys::watchdog::Watchdog;

const DEVICE: &str = "/dev/watchdog0";
/// Long enough for one step on a slow machine; the system stage sets its own.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A watchdog, if the machine has one.
#[derive(Debug, Default)]
pub struct Guard(Option<Watchdog>);

impl Guard {
    /// Arms the device.
    #[must_use]
    pub fn arm() -> Guard {
        let device = Path::new(DEVICE);
        if !device.exists() {
            return Guard(None);
        }
        match Watchdog::open(device) {
            Ok(mut watchdog) => {
                let timeout = watchdog.set_timeout(TIMEOUT).unwrap_or(TIMEOUT);
                log::info!(timeout:? = timeout; "watchdog armed");
                Guard(Some(watchdog))
            }
            Err(error) => {
                log::warn!(error:% = error; "watchdog cannot be armed");
                Guard(None)
            }
        }
    }

    /// Puts the reset off.
    pub fn feed(&mut self) {
        if let Some(watchdog) = &mut self.0 {
            let _ = watchdog.feed();
        }
    }

    /// Whether it caused the last reset.
    #[must_use]
    pub fn fired(&self) -> bool {
        self.0.as_ref().is_some_and(Watchdog::caused_last_reset)
    }

    /// Keeps the device open over the switch: the environment entry for the system stage.
    #[must_use]
    pub fn hand_over(self) -> Option<(&'static str, String)> {
        let number = self.0?.hand_over().ok()?;
        Some((keelson_sys::watchdog::VARIABLE, number))
    }
}
