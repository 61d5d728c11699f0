//! The server as a client sees it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::*;

/// Status and body of an answer; what came before the connection ended.
fn get(server: &Server, path: &str, range: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{range}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // Enough of one that never ends.
    stream.take(1 << 20).read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..split].to_vec()).unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        answer[split + 4..].to_vec(),
    )
}

fn served() -> (tempfile::TempDir, Server, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(folder.path().join("file"), &content).unwrap();
    let server = Server::start(folder.path(), (Ipv4Addr::LOCALHOST, 0).into(), Vec::new()).unwrap();
    (folder, server, content)
}

#[test]
fn files_and_ranges_come_whole_and_are_recorded() {
    let (_folder, server, content) = served();
    assert_eq!(get(&server, "/file", ""), (200, content.clone()));
    assert_eq!(
        get(&server, "/file", "Range: bytes=10-19\r\n"),
        (206, content[10..20].to_vec())
    );
    assert_eq!(
        get(&server, "/file", "Range: bytes=99990-\r\n"),
        (206, content[99_990..].to_vec())
    );
    assert_eq!(get(&server, "/file", "Range: bytes=100000-\r\n").0, 416);
    assert_eq!(get(&server, "/other", "").0, 404);
    let record = server.record();
    assert_eq!(
        record.iter().map(|served| served.bytes).collect::<Vec<_>>(),
        [100_000, 10, 10, 0, 0]
    );
    assert_eq!(record[1].start, 10);
}

#[test]
fn each_fault_shows() {
    let (_folder, server, content) = served();
    let with = |fault: &str, range: &str| {
        server.set_faults(vec![fault.parse().unwrap()]);
        get(&server, "/file", range)
    };
    assert_eq!(with("cut=5000", ""), (200, content[..5000].to_vec()));
    let (_, wrong) = with("wrong", "");
    assert_eq!(
        wrong.iter().zip(&content).filter(|(left, right)| left != right).count(),
        1
    );
    assert_eq!(with("503", ""), (503, Vec::new()));
    assert_eq!(with("no-range", "Range: bytes=10-19\r\n"), (200, content.clone()));
    assert!(with("endless", "").1.len() > content.len());
    let begun = std::time::Instant::now();
    assert_eq!(with("slow=200000", "").1.len(), content.len());
    assert!(begun.elapsed() > Duration::from_millis(350), "{:?}", begun.elapsed());
    assert_eq!(with("404@other", ""), (200, content));
}
