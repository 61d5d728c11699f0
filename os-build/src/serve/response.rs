//! The answer to a request, as it should be or with a fault.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use super::fault::Kind;
use super::request::Request;
use super::{PATIENCE, Served};

/// Bytes written at once.
const PIECE: usize = 16 << 10;

/// Answers; whether the connection can go on.
pub fn answer(
    connection: &TcpStream,
    folder: &Path,
    request: &Request,
    fault: Option<Kind>,
) -> io::Result<(Served, bool)> {
    let plan = plan(folder, request, fault);
    let mut served = Served {
        path: request.path.clone(),
        start: plan.start,
        status: plan.status,
        bytes: 0,
    };
    write_head(connection, &plan, fault)?;
    let is_get = request.method == "GET";
    if let Some(file) = plan.file.filter(|_| is_get) {
        served.bytes = write_body(connection, file, plan.start, plan.length, fault);
    }
    let whole = !is_get || served.bytes == plan.length;
    Ok((served, whole && request.keep && fault != Some(Kind::Endless)))
}

/// What is going to be answered.
struct Plan {
    status: u16,
    file: Option<File>,
    start: u64,
    length: u64,
    /// Length of the whole file.
    total: u64,
}

fn plan(folder: &Path, request: &Request, fault: Option<Kind>) -> Plan {
    let without = |status| Plan {
        status,
        file: None,
        start: 0,
        length: 0,
        total: 0,
    };
    if let Some(Kind::Status(status)) = fault {
        return without(status);
    }
    if request.method != "GET" && request.method != "HEAD" {
        return without(405);
    }
    let opened = path_below(folder, &request.path).and_then(|path| {
        let file = File::open(path).ok()?;
        let data = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((file, data.len()))
    });
    let Some((file, total)) = opened else {
        return without(404);
    };
    let range = request.range.filter(|_| fault != Some(Kind::NoRange));
    let (status, start, length) = match range {
        None => (200, 0, total),
        Some((start, _)) if start >= total => return Plan { total, ..without(416) },
        Some((start, end)) => (
            206,
            start,
            end.map_or(total, |end| end.saturating_add(1).min(total)) - start,
        ),
    };
    Plan {
        status,
        file: Some(file),
        start,
        length,
        total,
    }
}

/// The file of a path, which may not lead out of the folder.
fn path_below(folder: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.strip_prefix('/')?);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| folder.join(relative))
}

fn write_head(mut connection: &TcpStream, plan: &Plan, fault: Option<Kind>) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", plan.status, reason(plan.status));
    if fault == Some(Kind::Endless) {
        head += "Connection: close\r\n";
    } else {
        head += &format!("Content-Length: {}\r\n", plan.length);
    }
    if fault != Some(Kind::NoRange) {
        head += "Accept-Ranges: bytes\r\n";
    }
    match plan.status {
        206 => {
            head += &format!(
                "Content-Range: bytes {}-{}/{}\r\n",
                plan.start,
                plan.start + plan.length - 1,
                plan.total
            )
        }
        416 => head += &format!("Content-Range: bytes */{}\r\n", plan.total),
        _ => {}
    }
    connection.write_all(format!("{head}\r\n").as_bytes())
}

/// Bytes that went out; fewer than `length` if the client left or the fault wants it.
fn write_body(mut connection: &TcpStream, mut file: File, start: u64, length: u64, fault: Option<Kind>) -> u64 {
    let begun = Instant::now();
    let mut sent = 0;
    let mut piece = vec![0; PIECE];
    if fault == Some(Kind::Stall) {
        std::thread::sleep(PATIENCE);
        return 0;
    }
    let most = match fault {
        Some(Kind::Cut(bytes)) => bytes.min(length),
        _ => length,
    };
    if file.seek(SeekFrom::Start(start)).is_err() {
        return 0;
    }
    while sent < most {
        let wanted = usize::try_from(most - sent).unwrap_or(PIECE).min(PIECE);
        let Some(Ok(read @ 1..)) = piece.get_mut(..wanted).map(|piece| file.read(piece)) else {
            break;
        };
        if fault == Some(Kind::Wrong) && (sent..sent + read as u64).contains(&(length / 2)) {
            let at = usize::try_from(length / 2 - sent).unwrap_or(0);
            piece.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        }
        if connection.write_all(piece.get(..read).unwrap_or_default()).is_err() {
            return sent;
        }
        sent += read as u64;
        if let Some(Kind::Slow(rate)) = fault {
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    while fault == Some(Kind::Endless) && connection.write_all(&piece).is_ok() {
        sent += piece.len() as u64;
    }
    sent
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        _ => "As Asked For",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let folder = Path::new("/srv");
        assert_eq!(path_below(folder, "/a/b"), Some(PathBuf::from("/srv/a/b")));
        for path in ["/../etc/passwd", "/a/../../b", "//etc/passwd", "a", ""] {
            assert_eq!(path_below(folder, path), None, "{path}");
        }
    }
}
