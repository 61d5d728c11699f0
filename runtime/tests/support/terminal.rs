//! A terminal with a program on it, and a person who types.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};

use nix::pty::{Winsize, openpty};

use super::wait_for;

/// The person's side.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    pieces: Receiver<Vec<u8>>,
    child: Child,
    seen: String,
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Terminal {
    /// Runs a program on a terminal of this size.
    pub fn run(command: &mut Command, rows: u16, columns: u16) -> Terminal {
        let pty = openpty(&size(rows, columns), None).unwrap();
        let end = || pty.slave.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        // The command keeps copies, with which the terminal would never end.
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        drop(pty.slave);
        let master = File::from(pty.master);
        let mut reader = master.try_clone().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal {
            master,
            pieces,
            child,
            seen: String::new(),
        }
    }

    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the screen shows this after what was waited for before.
    pub fn expect(&mut self, text: &str) {
        let Terminal { pieces, seen, .. } = self;
        wait_for(&format!("{text:?} on the terminal"), || {
            while let Ok(piece) = pieces.try_recv() {
                seen.push_str(&String::from_utf8_lossy(&piece));
            }
            let at = seen.find(text)? + text.len();
            seen.drain(..at);
            Some(())
        });
    }

    /// Makes the window another size, and tells the program.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&self.master, size).unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGWINCH).unwrap();
    }

    /// Waits for the program's end.
    pub fn end(mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the end of the program on the terminal", || child.try_wait().unwrap())
    }
}
