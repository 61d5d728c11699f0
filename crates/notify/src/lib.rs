//! What a service tells PID 1: the datagrams of `sd_notify(3)`. Without a `NOTIFY_SOCKET` every call does nothing.
//! Never waits: a message that does not fit is dropped with a warning.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The service is ready.
pub fn ready() {
    send("READY=1");
}

/// One line about what the service is doing.
pub fn status(text: &str) {
    send(&format!("STATUS={}", text.replace('\n', " ")));
}

/// The service is about to end.
pub fn stopping() {
    send("STOPPING=1");
}

/// The service still turns.
pub fn watchdog() {
    send("WATCHDOG=1");
}

/// Sends state lines as they are.
pub fn send(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(state.as_bytes(), path)
    });
    if let Err(error) = sent {
        log::warn!(error:% = error; "cannot notify the manager");
    }
}

/// How often the service must report, by `WATCHDOG_USEC`; `None` if nobody asks.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    parse_watchdog(std::env::var("WATCHDOG_USEC").ok().as_deref())
}

fn parse_watchdog(microseconds: Option<&str>) -> Option<Duration> {
    let microseconds = microseconds?.parse().ok().filter(|value| *value > 0)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdog_interval_is_in_microseconds() {
        assert_eq!(parse_watchdog(Some("2000000")), Some(Duration::from_secs(2)));
        for text in [None, Some(""), Some("0"), Some("-1"), Some("x")] {
            assert_eq!(parse_watchdog(text), None);
        }
    }
}
