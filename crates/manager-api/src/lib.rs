//! The control protocol of PID 1: messages, their bounded frames, and a blocking client.
//!
//! One JSON object per `SOCK_SEQPACKET` packet. Both sides first send a [`Hello`]; after that the client sends requests
//! with an id of its choice, and every request gets exactly one reply with that id. The bytes are described in
//! `docs/formats/control-protocol.md`. PID 1 outlives the programs it talks to, so unknown fields are ignored on both sides.

pub mod client;
pub mod frame;
pub mod message;

pub use client::{Client, ClientError};
pub use frame::{FrameError, MAX_FRAME};
pub use message::{
    FromManager, Hello, Kind, Notice, PowerKind, Refusal, Reply, ReplyFrame, Request, RequestFrame, UnitState,
    UnitStatus, Words,
};

/// Entry points for fuzzing: any bytes may come in, errors are fine, panics are bugs.
pub mod fuzz {
    use crate::{FromManager, Hello, RequestFrame, frame};

    /// Decodes arbitrary bytes as each kind of packet; what decodes must encode again.
    pub fn fuzz_control_frame(data: &[u8]) {
        let _ = frame::decode::<Hello>(data);
        if let Ok(request) = frame::decode::<RequestFrame>(data) {
            let _ = frame::encode(&request);
        }
        if let Ok(message) = frame::decode::<FromManager>(data) {
            let _ = frame::encode(&message);
        }
    }
}
