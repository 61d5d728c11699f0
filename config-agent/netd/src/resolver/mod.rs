//! The machine's one name server: loopback for the host, a bridge's gateway address for the
//! containers on it.
//!
//! Programs that own records push them over a socket (`docs/formats/resolver-socket.md`). What is not
//! in the records is asked of the upstream servers and cached. [`records`], [`cache`], [`answer`] and
//! [`frame`] are pure; [`core`] owns them; [`serve`], [`upstream`] and [`control`] talk.

pub mod answer;
mod askers;
pub mod cache;
pub mod control;
pub mod core;
pub mod frame;
pub mod records;
pub mod serve;
pub mod upstream;
