//! What operators ask a machine: the table of commands, which the SSH server and the program `keelson` share, and the
//! answers.

pub mod answer;
pub mod command;
pub mod config;
pub mod status;
