//! NTP packets of a simple client (RFC 5905 section 14): what we send, and whether an answer may be
//! believed. Pure. Times are seconds since 1970 as floating point where only differences count.

use std::time::Duration;

const LENGTH: usize = 48;
const CLIENT_V4: u8 = 4 << 3 | 3;
const SERVER: u8 = 4;
const UNSYNCHRONISED: u8 = 3;
const HIGHEST_STRATUM: u8 = 15;
/// Seconds from 1900 to 1970.
const EPOCH: i64 = 2_208_988_800;
/// Seconds of one era of NTP's 32-bit seconds.
const ERA: i64 = 1 << 32;
/// A server farther than this from true time (by its own account) is of no use (RFC 5905's MAXDIST).
const FARTHEST: f64 = 1.5;

/// A time since 1970, to the nanosecond.
pub type Unix = Duration;

/// What one exchange says about our clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds to add to our clock.
    pub offset: f64,
    /// Seconds the packets took.
    pub delay: f64,
    /// Seconds by which the server may be wrong.
    pub root_distance: f64,
    /// Steps to a reference clock.
    pub stratum: u8,
}

impl Sample {
    /// Seconds by which the offset may be wrong.
    pub fn uncertainty(&self) -> f64 {
        self.delay / 2.0 + self.root_distance
    }
}

/// Why an answer is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NtpError {
    /// Not an NTP packet from a server.
    #[error("not an answer of a time server")]
    Foreign,
    /// Not to our question.
    #[error("an answer to another question")]
    Unasked,
    /// The server asks to be left alone; its code in four letters.
    #[error("the server asks to be left alone ({})", String::from_utf8_lossy(.0).trim_end_matches('\0'))]
    Kiss([u8; 4]),
    /// The server does not know the time.
    #[error("the server is not synchronised")]
    Unsynchronised,
    /// Farther from true time than we accept.
    #[error("the server may be wrong by more than {FARTHEST} s")]
    Far,
    /// Times that contradict themselves.
    #[error("the server's times contradict themselves")]
    Contradiction,
}

/// Our question. `cookie` is a number nobody can guess, in place of our time, which is nobody's business.
pub fn request(cookie: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = CLIENT_V4;
    bytes[40..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// Judges the answer to the question with this cookie, sent and received at these times of our clock.
///
/// # Errors
/// [`NtpError`].
pub fn judge(bytes: &[u8], cookie: u64, sent: Unix, received: Unix) -> Result<Sample, NtpError> {
    let packet: &[u8; LENGTH] = bytes.first_chunk().ok_or(NtpError::Foreign)?;
    let (leap, version, mode) = (packet[0] >> 6, packet[0] >> 3 & 7, packet[0] & 7);
    if mode != SERVER || !(3..=4).contains(&version) {
        return Err(NtpError::Foreign);
    }
    if u64_at(packet, 24) != cookie {
        return Err(NtpError::Unasked);
    }
    let stratum = packet[1];
    if stratum == 0 {
        return Err(NtpError::Kiss([packet[12], packet[13], packet[14], packet[15]]));
    }
    if leap == UNSYNCHRONISED || stratum > HIGHEST_STRATUM || u64_at(packet, 40) == 0 {
        return Err(NtpError::Unsynchronised);
    }
    let root_distance = (short(packet, 4) / 2.0) + short(packet, 8);
    if root_distance > FARTHEST {
        return Err(NtpError::Far);
    }
    let arrived = from_ntp(u64_at(packet, 32), sent);
    let left = from_ntp(u64_at(packet, 40), sent);
    let round_trip = seconds_between(sent, received);
    let delay = round_trip - (left - arrived).seconds();
    // The server's stay can only be shorter than the round trip; its clock may tick coarsely.
    if round_trip < 0.0 || (left - arrived).seconds() < 0.0 || delay < -0.01 {
        return Err(NtpError::Contradiction);
    }
    let sent = Fixed::from_unix(sent);
    let received = Fixed::from_unix(received);
    let offset = ((arrived - sent).seconds() + (left - received).seconds()) / 2.0;
    Ok(Sample {
        offset,
        delay: delay.max(0.0),
        root_distance,
        stratum,
    })
}

/// Seconds since 1970 in 64.32 fixed point: exact where a float would not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fixed(i128);

impl Fixed {
    fn from_unix(time: Unix) -> Self {
        let fraction = (i128::from(time.subsec_nanos()) << 32) / 1_000_000_000;
        Self((i128::from(time.as_secs()) << 32) + fraction)
    }

    fn seconds(self) -> f64 {
        self.0 as f64 / ERA as f64
    }
}

impl std::ops::Sub for Fixed {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

/// An NTP time stamp in the era that brings it nearest to `near`.
fn from_ntp(stamp: u64, near: Unix) -> Fixed {
    let seconds = (stamp >> 32) as i64 - EPOCH;
    let near = i64::try_from(near.as_secs()).unwrap_or(i64::MAX / 2);
    let eras = (near - seconds + ERA / 2).div_euclid(ERA);
    Fixed((i128::from(seconds + eras * ERA) << 32) + i128::from(stamp as u32))
}

fn seconds_between(from: Unix, to: Unix) -> f64 {
    (Fixed::from_unix(to) - Fixed::from_unix(from)).seconds()
}

fn u64_at(packet: &[u8; LENGTH], at: usize) -> u64 {
    packet
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .map_or(0, u64::from_be_bytes)
}

/// Seconds in 16.16 fixed point.
fn short(packet: &[u8; LENGTH], at: usize) -> f64 {
    let value = packet
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .map_or(0, u32::from_be_bytes);
    f64::from(value) / 65536.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COOKIE: u64 = 0x1234_5678_9abc_def0;
    const NOW: u64 = 1_790_000_000;

    fn stamp(unix: f64) -> [u8; 8] {
        let seconds = (unix.floor() as i64 + EPOCH) as u32;
        let fraction = (unix.fract() * 4_294_967_296.0) as u32;
        (u64::from(seconds) << 32 | u64::from(fraction)).to_be_bytes()
    }

    fn answer(arrived: f64, left: f64) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = 4 << 3 | SERVER;
        bytes[1] = 2;
        bytes[24..32].copy_from_slice(&COOKIE.to_be_bytes());
        bytes[32..40].copy_from_slice(&stamp(arrived));
        bytes[40..48].copy_from_slice(&stamp(left));
        bytes
    }

    fn unix(seconds: f64) -> Unix {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn offset_and_delay() {
        let now = NOW as f64;
        // We are 5 s late; 0.1 s there, 0.02 s in the server, 0.3 s back.
        let sample = judge(&answer(now + 5.1, now + 5.12), COOKIE, unix(now), unix(now + 0.42)).unwrap();
        assert!((sample.offset - 4.9).abs() < 1e-6, "{sample:?}");
        assert!((sample.delay - 0.4).abs() < 1e-6, "{sample:?}");
    }

    #[test]
    fn answers_that_are_not_believed() {
        let now = NOW as f64;
        let good = answer(now, now);
        let changed = |change: &dyn Fn(&mut [u8; LENGTH])| {
            let mut bytes = good;
            change(&mut bytes);
            judge(&bytes, COOKIE, unix(now), unix(now + 0.1)).unwrap_err()
        };
        type Change<'a> = &'a dyn Fn(&mut [u8; LENGTH]);
        let table: [(NtpError, Change<'_>); 9] = [
            (NtpError::Foreign, &|b| b[0] = 4 << 3 | 3),
            (NtpError::Foreign, &|b| b[0] = 2 << 3 | SERVER),
            (NtpError::Unasked, &|b| b[24] ^= 1),
            (NtpError::Kiss(*b"RATE"), &|b| {
                b[1] = 0;
                b[12..16].copy_from_slice(b"RATE");
            }),
            (NtpError::Unsynchronised, &|b| b[0] |= UNSYNCHRONISED << 6),
            (NtpError::Unsynchronised, &|b| b[1] = 16),
            (NtpError::Unsynchronised, &|b| b[40..].fill(0)),
            (NtpError::Far, &|b| b[8..12].copy_from_slice(&[0, 2, 0, 0])),
            (NtpError::Contradiction, &|b| b[40..].copy_from_slice(&stamp(now - 1.0))),
        ];
        for (expected, change) in table {
            assert_eq!(changed(change), expected);
        }
        assert_eq!(
            judge(&good[..47], COOKIE, unix(now), unix(now)).unwrap_err(),
            NtpError::Foreign
        );
        let backwards = judge(&good, COOKIE, unix(now), unix(now - 1.0)).unwrap_err();
        assert_eq!(backwards, NtpError::Contradiction);
        assert_eq!(
            NtpError::Kiss(*b"DENY").to_string(),
            "the server asks to be left alone (DENY)"
        );
    }

    #[test]
    fn the_era_after_2036_is_understood() {
        let later = 2_100_000_000.0;
        let sample = judge(&answer(later + 1.0, later + 1.0), COOKIE, unix(later), unix(later)).unwrap();
        assert!((sample.offset - 1.0).abs() < 1e-6);
        let floor = NOW as f64;
        let sample = judge(&answer(later, later), COOKIE, unix(floor), unix(floor)).unwrap();
        assert!((sample.offset - (later - floor)).abs() < 1e-3, "a clock at its floor");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80), cookie: u64, sent: u64, stay: u32) {
            let sent = Duration::from_secs(sent);
            let _ = judge(&bytes, cookie, sent, sent.saturating_add(Duration::from_secs(stay.into())));
            if bytes.len() >= LENGTH {
                let mut bytes = bytes;
                bytes[0] = 4 << 3 | SERVER;
                bytes[24..32].copy_from_slice(&cookie.to_be_bytes());
                let _ = judge(&bytes, cookie, sent, sent);
            }
        }

        #[test]
        fn the_offset_is_right_to_within_the_delay(offset in -1e6f64..1e6, there in 0.0f64..0.5, back in 0.0f64..0.5) {
            let now = NOW as f64;
            let arrived = now + there + offset;
            let sample = judge(&answer(arrived, arrived), COOKIE, unix(now), unix(now + there + back)).unwrap();
            prop_assert!((sample.offset - offset).abs() <= sample.delay / 2.0 + 1e-5, "{sample:?}");
        }
    }
}
