//! The way in for people and their tools: an SSH server that knows keys and commands, and no shell.
//!
//! [`server`] lets connections in as [`doorkeeper`] decides; [`session`] logs people in as [`accounts`] says and carries
//! out what [`request`] plans: a text, the program `keelson`, or the engine's socket.

pub mod accounts;
pub mod algorithms;
pub mod doorkeeper;
pub mod fuzz;
pub mod host_key;
pub mod inflow;
pub mod login;
pub mod request;
pub mod run;
pub mod running;
pub mod server;
pub mod session;
pub mod terminal;
pub mod words;
