//! Tells the machine's resolver of the bridge, so that it answers the containers at the gateway's
//! address (docs/formats/resolver-socket.md). A thread of its own holds the conversation: it blocks,
//! and makes the connection anew whenever it breaks.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use serde_json::{Value, json};

use super::ipam::Subnets;

/// The resolver may start later than the engine, or again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Longest packet either side sends.
const LONGEST: usize = 64 << 10;

/// Starts the thread.
///
/// # Errors
/// It cannot be made.
pub fn announce(socket: PathBuf, subnets: Subnets) -> io::Result<()> {
    let packets = plan_packets(&subnets);
    std::thread::Builder::new().name("resolver".into()).spawn(move || {
        let mut told = false;
        loop {
            if let Err(error) = converse(&socket, &packets) {
                let error = error.to_string();
                // Once is enough: it is tried again for as long as the engine lives.
                if !std::mem::replace(&mut told, true) {
                    log::info!(error = error; "the resolver does not know the bridge yet");
                }
            } else {
                told = false;
            }
            std::thread::sleep(RETRY_AFTER);
        }
    })?;
    Ok(())
}

/// Hello, the network, and that this is all.
fn plan_packets(subnets: &Subnets) -> [Value; 3] {
    let network = json!({
        "name": "bridge",
        "gateways": [subnets.gateway4().to_string(), subnets.gateway6().to_string()],
        "subnets": [subnets.cidr4(), subnets.cidr6()],
        "forward": true,
    });
    [
        json!({"protocol": "keelson-resolver", "version": 1, "session": "engine"}),
        json!({"id": 1, "op": "set-network", "network": network}),
        json!({"id": 2, "op": "settled"}),
    ]
}

/// Says everything, then waits for the end of the conversation.
fn converse(path: &Path, packets: &[Value]) -> io::Result<()> {
    let socket = dial(path)?;
    for packet in packets {
        send(&socket, packet.to_string().as_bytes(), SendFlags::NOSIGNAL)?;
        let Some(answer) = receive(&socket)? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            return Err(io::Error::other(error.to_owned()));
        }
    }
    log::info!("the resolver answers containers on the bridge");
    while receive(&socket)?.is_some() {}
    Ok(())
}

fn dial(path: &Path) -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// The next packet; `None` at the end.
fn receive(socket: &OwnedFd) -> io::Result<Option<Value>> {
    let mut bytes = vec![0u8; LONGEST];
    let (length, _) = recv(socket, bytes.as_mut_slice(), RecvFlags::empty())?;
    match bytes.get(..length) {
        None | Some([]) => Ok(None),
        Some(packet) => Ok(Some(serde_json::from_slice(packet)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{accept, bind, listen};

    #[test]
    fn says_hello_the_network_and_that_it_is_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolver.sock");
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let server = socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
        bind(&server, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&server, 1).unwrap();
        announce(path, Subnets::default_bridge([1, 2, 3, 4, 5])).unwrap();
        let peer = accept(&server).unwrap();
        let mut heard = vec![];
        for _ in 0..3 {
            heard.push(receive(&peer).unwrap().unwrap());
            send(&peer, b"{}", SendFlags::empty()).unwrap();
        }
        assert_eq!(heard[0]["session"], "engine");
        let gateways = json!(["172.30.0.1", "fd01:203:405::1"]);
        assert_eq!(heard[1]["network"]["gateways"], gateways);
        assert_eq!(heard[2]["op"], "settled");
        drop(peer);
        // A broken conversation is made anew.
        let peer = accept(&server).unwrap();
        assert_eq!(receive(&peer).unwrap().unwrap()["protocol"], "keelson-resolver");
    }
}
