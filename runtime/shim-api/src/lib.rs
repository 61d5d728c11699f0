//! What the engine and the shim of one container say to each other: the launch configuration, the messages, the
//! framing with passed descriptors, and a client.
//!
//! It knows JSON, frames and sockets. It must never start a process, touch a container or depend on an async runtime:
//! the shim links it too, and the shim has to stay small. The page for readers is `docs/formats/shim.md`.

pub mod channel;
pub mod client;
pub mod config;
pub mod exit;
pub mod frame;
pub mod fuzz;
pub mod message;

pub use channel::{Channel, ChannelError};
pub use client::{Client, ClientError};
pub use config::{LaunchReport, LogConfig, ShimConfig};
pub use exit::ExitRecord;
pub use frame::{Decoder, FrameError, MAX_FRAME, encode};
pub use message::{
    Failure, FailureKind, Hello, Notice, Outcome, PROTOCOL, Packet, Phase, Request, RequestBody, ShimState, Streams,
    VERSION,
};
