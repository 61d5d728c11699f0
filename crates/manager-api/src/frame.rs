//! One message, one packet: JSON of bounded size. Pure; the socket keeps the boundaries.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest packet either side accepts, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// A packet that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Larger than [`MAX_FRAME`].
    #[error("packet of {bytes} bytes, at most {MAX_FRAME} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the JSON that was expected.
    #[error("packet is not a message of the control protocol")]
    Malformed {
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
}

/// Message → packet.
///
/// # Errors
/// [`FrameError::TooLarge`] if it does not fit.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let bytes = serde_json::to_vec(message).map_err(|source| FrameError::Malformed { source })?;
    if bytes.len() > MAX_FRAME {
        return Err(FrameError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Packet → message; fields it does not know are ignored.
///
/// # Errors
/// [`FrameError`] if the packet is too large or not such a message.
pub fn decode<T: DeserializeOwned>(packet: &[u8]) -> Result<T, FrameError> {
    if packet.len() > MAX_FRAME {
        return Err(FrameError::TooLarge { bytes: packet.len() });
    }
    serde_json::from_slice(packet).map_err(|source| FrameError::Malformed { source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FromManager, Hello, Notice, Refusal, Reply, ReplyFrame, Request, RequestFrame, Words};
    use proptest::prelude::*;

    #[test]
    fn packets_have_the_documented_form() {
        let request = RequestFrame {
            id: 7,
            request: Request::Start { unit: "netd".into() },
        };
        let text = r#"{"id":7,"request":"start","unit":"netd"}"#;
        assert_eq!(encode(&request).unwrap(), text.as_bytes());
        assert_eq!(decode::<RequestFrame>(text.as_bytes()).unwrap(), request);

        let plain = r#"{"id":8,"request":"reboot"}"#;
        let words = |why: Option<&str>| Words {
            person: None,
            why: why.map(str::to_owned),
        };
        let reboot = |words| RequestFrame {
            id: 8,
            request: Request::Reboot { words },
        };
        assert_eq!(encode(&reboot(words(None))).unwrap(), plain.as_bytes());
        assert_eq!(decode::<RequestFrame>(plain.as_bytes()).unwrap(), reboot(words(None)));
        let said = r#"{"id":8,"request":"reboot","why":"kernel"}"#;
        assert_eq!(
            decode::<RequestFrame>(said.as_bytes()).unwrap(),
            reboot(words(Some("kernel")))
        );

        let reply = r#"{"id":7,"reply":"refused","refusal":"no-such-unit","message":"there is no unit `x`"}"#;
        let FromManager::Reply(ReplyFrame {
            id: 7,
            reply: Reply::Refused { refusal, .. },
        }) = decode(reply.as_bytes()).unwrap()
        else {
            panic!("not a refusal")
        };
        assert_eq!(refusal, Refusal::NoSuchUnit);
        assert_eq!(
            encode(&Hello::ours()).unwrap(),
            br#"{"protocol":"keelson-manager","version":1}"#
        );
    }

    #[test]
    fn what_a_later_version_adds_is_ignored() {
        let later = br#"{"id":1,"request":"list","verbose":true}"#;
        assert_eq!(decode::<RequestFrame>(later).unwrap().request, Request::List);
        let notice = br#"{"notice":"eclipse","of":"the moon"}"#;
        assert_eq!(
            decode::<FromManager>(notice).unwrap(),
            FromManager::Notice(Notice::Unknown)
        );
        let refusal = br#"{"id":1,"reply":"refused","refusal":"asleep","message":"z"}"#;
        assert!(matches!(
            decode::<ReplyFrame>(refusal).unwrap().reply,
            Reply::Refused {
                refusal: Refusal::Unknown,
                ..
            }
        ));
    }

    #[test]
    fn refuses_packets_over_the_bound() {
        let long = RequestFrame {
            id: 1,
            request: Request::Start {
                unit: "x".repeat(MAX_FRAME),
            },
        };
        assert!(matches!(encode(&long), Err(FrameError::TooLarge { .. })));
        assert!(matches!(
            decode::<Hello>(&vec![b' '; MAX_FRAME + 1]),
            Err(FrameError::TooLarge { .. })
        ));
    }

    #[test]
    fn requests_that_change_something_need_authority() {
        for request in [
            Request::Reboot {
                words: Words::default(),
            },
            Request::PowerOff {
                words: Words::default(),
            },
            Request::Reexec,
            Request::Stop { unit: "x".into() },
        ] {
            assert!(request.changes_something());
        }
        for request in [Request::List, Request::Subscribe, Request::Status { unit: "x".into() }] {
            assert!(!request.changes_something());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            crate::fuzz::fuzz_control_frame(&data);
        }
    }
}
