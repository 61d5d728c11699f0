//! A bound on the checking of a document: no document may keep the machine from booting.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use keelson_machine_config::Verdict;

/// Well within the unit's start timeout; the largest documents take a second.
const LIMIT: Duration = Duration::from_secs(15);

/// Checks a document; `None` when that takes too long or fails. What is then still running ends with the program.
pub(crate) fn validate(document: &[u8]) -> Option<Verdict> {
    let document = document.to_owned();
    within(LIMIT, move || keelson_machine_config::validate("user-data", &document))
}

fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, receive) = mpsc::sync_channel(1);
    let run = move || drop(send.send(work()));
    thread::Builder::new().name("check".to_owned()).spawn(run).ok()?;
    receive.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_or_fails_gives_nothing() {
        assert_eq!(within(LIMIT, || 1), Some(1));
        assert_eq!(within(Duration::ZERO, thread::park), None);
        assert_eq!(
            within(LIMIT, || -> u8 { std::panic::resume_unwind(Box::new(())) }),
            None
        );
    }
}
