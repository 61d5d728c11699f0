//! The streams of a process: outputs read, logged and given to who is attached; an input fed by who is attached.
//!
//! An output is read only while every attached reader has taken what came before: a slow reader slows the process, and no
//! buffer grows.

use crate::journal::Journal;
use crate::lines::Lines;
use crate::log_file::LogFile;
use crate::sink::{KeptSink, Sink};
use keelson_shim_api::ShimConfig;
use keelson_shim_api::config::LogStream;
use keelson_sys::handover::leave_open;
use keelson_sys::spawn::take_left_open;
use rustix::event::PollFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;

/// Bytes read at once.
const CHUNK: usize = 32 << 10;

/// Where lines go.
#[derive(Debug, Default)]
pub struct Logs {
    /// The journal.
    pub journal: Option<Journal>,
    /// The file.
    pub file: Option<LogFile>,
}

/// One output of a process.
#[derive(Debug)]
pub struct Output {
    /// Which.
    pub stream: LogStream,
    /// The reading end, non-blocking; `None` after its end.
    pub source: Option<OwnedFd>,
    /// Attached readers.
    pub sinks: Vec<Sink>,
    lines: Lines,
    is_logged: bool,
}

/// One as it is left to a new copy.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptOutput {
    stream: LogStream,
    source: Option<i32>,
    sinks: Vec<KeptSink>,
    line: Vec<u8>,
    is_logged: bool,
}

impl Output {
    /// Leaves it to a new copy.
    pub fn keep(&self) -> io::Result<KeptOutput> {
        Ok(KeptOutput {
            stream: self.stream,
            source: self.source.as_ref().map(leave_open).transpose()?,
            sinks: self.sinks.iter().map(Sink::keep).collect::<io::Result<_>>()?,
            line: self.lines.held().to_vec(),
            is_logged: self.is_logged,
        })
    }

    /// Takes it up.
    pub fn resume(kept: KeptOutput) -> Self {
        Self {
            stream: kept.stream,
            source: kept.source.and_then(take_left_open),
            sinks: kept.sinks.into_iter().filter_map(Sink::resume).collect(),
            lines: Lines::resume(kept.line),
            is_logged: kept.is_logged,
        }
    }

    /// Over a non-blocking reading end.
    pub fn new(stream: LogStream, source: OwnedFd, is_logged: bool) -> Self {
        Self {
            stream,
            source: Some(source),
            sinks: Vec::new(),
            lines: Lines::default(),
            is_logged,
        }
    }

    /// Whether it may be read.
    pub fn wants_input(&self) -> bool {
        self.source.is_some() && self.sinks.iter().all(Sink::is_drained)
    }

    /// Reads once. Whether there may be more.
    pub fn read(&mut self, buffer: &mut Vec<u8>, logs: &mut Logs) -> bool {
        let Some(source) = &self.source else { return false };
        buffer.resize(CHUNK, 0);
        let length = match rustix::io::read(source, buffer.as_mut_slice()) {
            Err(Errno::INTR) => return true,
            Err(Errno::AGAIN) => return false,
            // A terminal without a process answers EIO.
            Ok(0) | Err(_) => {
                self.end(logs);
                return false;
            }
            Ok(length) => length,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        self.sinks.retain_mut(|sink| sink.give(bytes));
        if self.is_logged {
            log_bytes(&mut self.lines, bytes, self.stream, logs);
        }
        true
    }

    /// The end of the stream: the last line is logged, drained readers see the end.
    fn end(&mut self, logs: &mut Logs) {
        self.source = None;
        if self.is_logged {
            let (stream, time) = (self.stream, crate::clock::now());
            self.lines.finish(|piece| logs.add(piece, stream, time));
            logs.flush();
        }
        self.close_drained();
    }

    /// Attends to readers that may take more or have gone.
    pub fn flush_sinks(&mut self, flags: PollFlags) {
        // One of them: a reader that went is found by writing, which an idle one gets nothing of.
        if flags.intersects(PollFlags::ERR | PollFlags::HUP) {
            self.sinks.retain(Sink::has_reader);
        }
        self.sinks.retain_mut(Sink::flush);
        self.close_drained();
    }

    /// After the end of the stream a reader is let go as soon as it has everything.
    pub fn close_drained(&mut self) {
        if self.source.is_none() {
            self.sinks.retain(|sink| !sink.is_drained());
        }
    }
}

impl Logs {
    /// As configured.
    pub fn new(config: &ShimConfig) -> Self {
        Self {
            journal: Journal::new(config),
            file: LogFile::open(&config.log),
        }
    }

    fn add(&mut self, piece: crate::lines::Piece<'_>, stream: LogStream, time: u64) {
        if let Some(journal) = &mut self.journal {
            journal.send(piece, stream, time);
        }
        if let Some(file) = &mut self.file {
            file.add(piece, stream, time);
        }
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            file.flush();
        }
    }
}

fn log_bytes(lines: &mut Lines, bytes: &[u8], stream: LogStream, logs: &mut Logs) {
    let time = crate::clock::now();
    lines.push(bytes, |piece| logs.add(piece, stream, time));
    logs.flush();
}

/// A client's stdin.
#[derive(Debug)]
pub struct InputSource {
    /// The reading end of the client's pipe, non-blocking.
    pub fd: OwnedFd,
    /// Its end is the end of the process's input.
    pub closes: bool,
}

/// The input of a process.
#[derive(Debug, Default)]
pub struct Input {
    /// The writing end, non-blocking; `None` when there is none or it was closed.
    pub target: Option<OwnedFd>,
    /// Attached clients.
    pub sources: Vec<InputSource>,
    pending: Vec<u8>,
    ends: bool,
}

/// One as it is left to a new copy.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptInput {
    target: Option<i32>,
    /// Descriptors, and whether their end is the end of the input.
    sources: Vec<(i32, bool)>,
    pending: Vec<u8>,
    ends: bool,
}

impl Input {
    /// Leaves it to a new copy.
    pub fn keep(&self) -> io::Result<KeptInput> {
        let source = |source: &InputSource| Ok((leave_open(&source.fd)?, source.closes));
        Ok(KeptInput {
            target: self.target.as_ref().map(leave_open).transpose()?,
            sources: self.sources.iter().map(source).collect::<io::Result<_>>()?,
            pending: self.pending.clone(),
            ends: self.ends,
        })
    }

    /// Takes it up.
    pub fn resume(kept: KeptInput) -> Self {
        let source = |(fd, closes)| {
            Some(InputSource {
                fd: take_left_open(fd)?,
                closes,
            })
        };
        Self {
            target: kept.target.and_then(take_left_open),
            sources: kept.sources.into_iter().filter_map(source).collect(),
            pending: kept.pending,
            ends: kept.ends,
        }
    }

    /// Over a non-blocking writing end.
    pub fn new(target: OwnedFd) -> Self {
        Self {
            target: Some(target),
            ..Self::default()
        }
    }

    /// Whether clients may be read: only when the process has taken what came before.
    pub fn wants_input(&self) -> bool {
        self.pending.is_empty() && !self.ends
    }

    /// Whether the process has something to take.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Reads once from a client.
    pub fn read(&mut self, index: usize, buffer: &mut Vec<u8>) {
        let Some(source) = self.sources.get(index) else { return };
        buffer.resize(CHUNK, 0);
        match rustix::io::read(&source.fd, buffer.as_mut_slice()) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(0) | Err(_) => {
                let source = self.sources.remove(index);
                if source.closes {
                    self.ends = true;
                }
            }
            Ok(length) => self.pending.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
        self.flush();
    }

    /// Gives the process what it takes.
    pub fn flush(&mut self) {
        let Some(target) = &self.target else {
            self.pending.clear();
            self.sources.clear();
            return;
        };
        let mut done = 0;
        let alive = loop {
            let rest = self.pending.get(done..).unwrap_or_default();
            if rest.is_empty() {
                break true;
            }
            match rustix::io::write(target, rest) {
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break true,
                Err(_) => break false,
            }
        };
        self.pending.drain(..done);
        if !alive || self.ends && self.pending.is_empty() {
            self.close();
        }
    }

    /// No more input.
    pub fn close(&mut self) {
        self.target = None;
        self.pending.clear();
        self.sources.clear();
    }
}
