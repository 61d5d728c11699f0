//! Answering `keelson install`: one connection at a time, one request a line, and the end when nobody asks any more.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result};
use keelson_installer::protocol::{LINE_MOST, Reply};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::work::carry_out;

/// The socket's name in the unit.
const SOCKET: &str = "install";
/// How long to wait for the next question.
const IDLE: Duration = Duration::from_secs(20);
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until nobody asked for a while.
///
/// # Errors
/// There is no socket.
pub fn run() -> Result<()> {
    let sockets = keelson_daemon::passed_fds::take();
    let socket = sockets.into_iter().find(|(name, _)| name == SOCKET);
    let listener = UnixListener::from(socket.context("PID 1 passed no socket named install")?.1);
    while wait(&listener)? {
        match listener.accept() {
            Ok((client, _)) => {
                if let Err(error) = answer(client) {
                    log::info!(error:% = error; "client went away");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("accept"),
        }
    }
    Ok(())
}

/// Whether somebody asks before the time is up.
fn wait(listener: &UnixListener) -> io::Result<bool> {
    let mut waiting = [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
    let limit = Timespec {
        tv_sec: IDLE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    Ok(poll(&mut waiting, Some(&limit))? > 0)
}

fn answer(client: UnixStream) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(&client).take(LINE_MOST).read_line(&mut line)?;
    let mut tell = |reply: Reply| say(&client, &reply);
    match serde_json::from_str(&line) {
        Ok(request) => carry_out(&request, &mut tell),
        Err(error) => tell(Reply::Refused {
            message: format!("not understood: {error}"),
            begun: false,
        }),
    }
}

fn say(mut client: &UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    client.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_answered() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs).write_all(b"{\"request\":\"format-everything\"}\n").unwrap();
        answer(ours).unwrap();
        let mut reply = String::new();
        (&theirs).read_to_string(&mut reply).unwrap();
        assert!(
            reply.contains("\"reply\":\"refused\"") && reply.contains("format-everything"),
            "{reply}"
        );
    }
}
