//! The other end of a machine's further network cards: a neighbour that speaks ethernet, written out so that tags and
//! hardware addresses can be seen.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use keelson_os_build::qemu::arguments::Wire;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const TAGGED: u16 = 0x8100;
const ICMP: u8 = 1;
const UDP: u8 = 17;
const EVERYBODY: [u8; 6] = [0xff; 6];
/// How long the machine may take to do what is expected on the wire.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// A frame from the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The card it left by.
    pub card: usize,
    /// Who is to receive it.
    pub to: [u8; 6],
    /// Who sent it.
    pub from: [u8; 6],
    /// The tag of its network.
    pub tag: Option<u16>,
    kind: u16,
    payload: Vec<u8>,
}

/// The neighbour. It answers for every address of 10.0.0.0/8 that is asked for, each with a hardware address of its own.
#[derive(Debug)]
pub struct Neighbour {
    sockets: Vec<(UdpSocket, u16)>,
}

impl Neighbour {
    /// A neighbour on so many cards.
    ///
    /// # Errors
    /// No port is free.
    pub fn new(cards: usize) -> Result<Neighbour> {
        let socket = || -> Result<(UdpSocket, u16)> {
            let own = UdpSocket::bind("127.0.0.1:0")?;
            own.set_nonblocking(true)?;
            let free = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
            Ok((own, free))
        };
        let sockets = (0..cards)
            .map(|_| socket())
            .collect::<Result<_>>()
            .context("find ports")?;
        Ok(Neighbour { sockets })
    }

    /// The cards for the machine; their hardware addresses end in 1, 2 …
    ///
    /// # Errors
    /// A socket without a port.
    pub fn wires(&self) -> Result<Vec<Wire>> {
        let wire = |(index, (socket, machine)): (usize, &(UdpSocket, u16))| {
            Ok(Wire {
                mac: format!("52:54:00:00:00:{:02x}", index + 1),
                machine: *machine,
                neighbour: socket.local_addr()?.port(),
            })
        };
        self.sockets.iter().enumerate().map(wire).collect()
    }

    /// Asks for the hardware address of one of the machine's addresses until it answers; gives the answer.
    ///
    /// # Errors
    /// It does not.
    pub fn find(&self, tag: Option<u16>, ip: Ipv4Addr) -> Result<Frame> {
        let request = arp(1, EVERYBODY, gateway_mac(first(ip)), first(ip), ip);
        let answered =
            |frame: &Frame| frame.kind == ARP && frame.tag == tag && frame.payload.get(14..18) == Some(&ip.octets());
        self.until(&format!("an answer of {ip} on the network {tag:?}"), answered, || {
            self.send_all(&frame(EVERYBODY, gateway_mac(first(ip)), tag, ARP, &request))
        })
    }

    /// Sends echo requests to the machine as `from` until it answers; gives the answer.
    ///
    /// # Errors
    /// It does not.
    pub fn ping(&self, machine: &Frame, from: Ipv4Addr, to: Ipv4Addr) -> Result<Frame> {
        let request = echo_request(from, to);
        let bytes = frame(machine.from, gateway_mac(first(to)), machine.tag, IPV4, &request);
        let answered = |frame: &Frame| {
            frame.kind == IPV4
                && frame.payload.get(9) == Some(&ICMP)
                && frame.payload.get(16..20) == Some(&from.octets())
        };
        self.until(&format!("an echo from {to} to {from}"), answered, || {
            self.send(machine.card, &bytes)
        })
    }

    /// Waits for a datagram to a port of some machine.
    ///
    /// # Errors
    /// None comes.
    pub fn datagram_to(&self, ip: Ipv4Addr, port: u16) -> Result<Frame> {
        let wanted = |frame: &Frame| {
            let packet = &frame.payload;
            frame.kind == IPV4
                && packet.get(9) == Some(&UDP)
                && packet.get(16..20) == Some(&ip.octets())
                && packet.get(22..24) == Some(&port.to_be_bytes())
        };
        self.until(&format!("a datagram to {ip}:{port}"), wanted, || Ok(()))
    }

    /// Receives until a frame is the wanted one, answering questions for hardware addresses meanwhile; `act` is done
    /// again and again.
    fn until(&self, what: &str, wanted: impl Fn(&Frame) -> bool, act: impl Fn() -> Result<()>) -> Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        let mut next = Instant::now();
        while Instant::now() < deadline {
            if next <= Instant::now() {
                act()?;
                next = Instant::now() + PAUSE;
            }
            match self.receive() {
                Some(frame) if wanted(&frame) => return Ok(frame),
                Some(frame) => self.answer(&frame)?,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("not within {PATIENCE:?}: {what}")
    }

    fn receive(&self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        self.sockets.iter().enumerate().find_map(|(card, (socket, _))| {
            let length = socket.recv(&mut buffer).ok()?;
            parse(card, buffer.get(..length)?)
        })
    }

    /// Answers a question for the hardware address of a machine other than the guest.
    fn answer(&self, question: &Frame) -> Result<()> {
        let packet = &question.payload;
        let request = question.kind == ARP && packet.get(6..8) == Some(&[0, 1]);
        let (Some(asker), Some(asked)) = (address(packet, 14), address(packet, 24)) else {
            return Ok(());
        };
        let probe = asker == asked || asker.is_unspecified();
        if request && !probe && asked.octets()[0] == 10 {
            let answer = arp(2, question.from, gateway_mac(asked), asked, asker);
            self.send(
                question.card,
                &frame(question.from, gateway_mac(asked), question.tag, ARP, &answer),
            )?;
        }
        Ok(())
    }

    fn send_all(&self, bytes: &[u8]) -> Result<()> {
        (0..self.sockets.len()).try_for_each(|card| self.send(card, bytes))
    }

    fn send(&self, card: usize, bytes: &[u8]) -> Result<()> {
        let (socket, machine) = self.sockets.get(card).context("no such card")?;
        let sent = socket.send_to(bytes, ("127.0.0.1", *machine));
        // Before the machine listens the host says so.
        if let Err(error) = sent {
            ensure!(
                error.kind() == std::io::ErrorKind::ConnectionRefused,
                "send a frame: {error}"
            );
        }
        Ok(())
    }
}

/// The hardware address of the neighbour's machine with this address.
#[must_use]
pub fn gateway_mac(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [2, 0, a, b, c, d]
}

/// The first machine of the network of 24 bits.
fn first(ip: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = ip.octets();
    Ipv4Addr::new(a, b, c, 1)
}

fn address(packet: &[u8], at: usize) -> Option<Ipv4Addr> {
    packet
        .get(at..)?
        .first_chunk::<4>()
        .map(|octets| Ipv4Addr::from(*octets))
}

fn frame(to: [u8; 6], from: [u8; 6], tag: Option<u16>, kind: u16, payload: &[u8]) -> Vec<u8> {
    let tag = tag
        .map(|tag| [TAGGED.to_be_bytes(), tag.to_be_bytes()].concat())
        .unwrap_or_default();
    [&to[..], &from, &tag, &kind.to_be_bytes(), payload].concat()
}

fn parse(card: usize, bytes: &[u8]) -> Option<Frame> {
    let kind = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
    let tag = (kind(12)? == TAGGED).then(|| kind(14)).flatten().map(|tag| tag & 0xfff);
    let header = if tag.is_some() { 18 } else { 14 };
    Some(Frame {
        card,
        to: *bytes.first_chunk()?,
        from: *bytes.get(6..)?.first_chunk()?,
        tag,
        kind: kind(header - 2)?,
        payload: bytes.get(header..)?.to_vec(),
    })
}

/// RFC 826.
fn arp(operation: u8, target: [u8; 6], own: [u8; 6], sender: Ipv4Addr, asked: Ipv4Addr) -> Vec<u8> {
    let target = if operation == 1 { [0; 6] } else { target };
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&head[..], &own, &sender.octets(), &target, &asked.octets()].concat()
}

/// RFC 791 and 792.
fn echo_request(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x4b, 0x4c, 0, 1];
    icmp.extend_from_slice(b"is somebody there?");
    let sum = checksum(&icmp).to_be_bytes();
    icmp.splice(2..4, sum);
    let length = u16::try_from(20 + icmp.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, ICMP, 0, 0];
    header.extend_from_slice(&from.octets());
    header.extend_from_slice(&to.octets());
    let sum = checksum(&header).to_be_bytes();
    header.splice(10..12, sum);
    [header, icmp].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_as_they_are_written() {
        for tag in [None, Some(7)] {
            let bytes = frame(EVERYBODY, [1; 6], tag, ARP, &[1, 2, 3]);
            let read = parse(3, &bytes).unwrap();
            assert_eq!(
                (read.card, read.tag, read.kind, read.payload),
                (3, tag, ARP, vec![1, 2, 3])
            );
        }
    }

    #[test]
    fn sums_over_their_own_sum_are_zero() {
        let request = echo_request(Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
        assert_eq!(checksum(&request[..20]), 0);
        assert_eq!(checksum(&request[20..]), 0);
    }
}
