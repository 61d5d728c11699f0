//! The loop: waits for everything at once, then attends to what is ready, outputs before requests before ends.

use crate::client::{Client, Received};
use crate::oom::OomWatch;
use crate::process::Process;
use crate::streams::Logs;
use keelson_oci::{Container, Created};
use keelson_shim_api::{Notice, Outcome, ShimConfig};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// Ended execs whose exit is remembered for a client that asks late.
const MOST_ENDED: usize = 64;
/// Between two tries to find a journal that is not there.
const JOURNAL_RETRY: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What a descriptor in the poll set stands for.
#[derive(Debug, Clone, Copy)]
enum Token {
    Signals,
    Listener,
    Client(u64),
    Output { process: usize, output: usize },
    Sinks { process: usize, output: usize },
    InputTarget { process: usize },
    InputSource { process: usize, source: usize },
    Oom,
    Journal,
}

/// Everything the shim knows.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: ShimConfig,
    pub(crate) listener: UnixListener,
    pub(crate) signals: SignalFd,
    /// `None` once it is deleted.
    pub(crate) container: Option<Container>,
    /// `None` once it is started.
    pub(crate) created: Option<Created>,
    /// The first process, then execs.
    pub(crate) processes: Vec<Process>,
    pub(crate) oom: OomWatch,
    pub(crate) logs: Logs,
    pub(crate) clients: Vec<Client>,
    pub(crate) next_client: u64,
    pub(crate) buffer: Vec<u8>,
    /// The container is deleted and the answer under way.
    pub(crate) is_done: bool,
}

impl Server {
    /// A server for a created container.
    #[allow(clippy::too_many_arguments)] // Each is a part it is made of; there is one caller.
    pub fn new(
        config: ShimConfig,
        listener: UnixListener,
        signals: SignalFd,
        container: Container,
        created: Created,
        first: Process,
        oom: OomWatch,
        logs: Logs,
    ) -> Self {
        Self {
            config,
            listener,
            signals,
            container: Some(container),
            created: Some(created),
            processes: vec![first],
            oom,
            logs,
            clients: Vec::new(),
            next_client: 1,
            buffer: Vec::new(),
            is_done: false,
        }
    }

    /// Serves until the container is deleted.
    pub fn run(mut self) -> anyhow::Result<()> {
        while !self.is_done || self.clients.iter().any(Client::has_unsent) {
            let mut ready = self.wait()?;
            // Signals last: output written before an end is seen before it.
            ready.sort_by_key(|(token, _)| u8::from(matches!(token, Token::Signals)));
            for (token, flags) in ready {
                self.attend(token, flags);
            }
            self.tidy();
        }
        let _ = std::fs::remove_file(&self.config.socket);
        Ok(())
    }

    fn wait(&self) -> anyhow::Result<Vec<(Token, PollFlags)>> {
        let (tokens, mut fds) = self.interests();
        let journal_is_away = self
            .logs
            .journal
            .as_ref()
            .is_some_and(|journal| journal.is_waiting() && journal.blocked_socket().is_none());
        let timeout = journal_is_away.then_some(&JOURNAL_RETRY);
        match poll(&mut fds, timeout) {
            Err(Errno::INTR) => return Ok(Vec::new()),
            Ok(0) => return Ok(vec![(Token::Journal, PollFlags::OUT)]),
            other => other?,
        };
        let flags = fds.iter().map(PollFd::revents);
        Ok(tokens
            .into_iter()
            .zip(flags)
            .filter(|(_, flags)| !flags.is_empty())
            .collect())
    }

    fn interests(&self) -> (Vec<Token>, Vec<PollFd<'_>>) {
        let mut set = Interests::default();
        set.add(Token::Signals, &self.signals, PollFlags::IN);
        if !self.is_done {
            set.add(Token::Listener, &self.listener, PollFlags::IN);
        }
        for client in &self.clients {
            let out = if client.has_unsent() {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            set.add_fd(
                Token::Client(client.id),
                PollFd::from_borrowed_fd(client.fd(), PollFlags::IN | out),
            );
        }
        for (index, process) in self.processes.iter().enumerate() {
            set.add_process(index, process);
        }
        if let Some(file) = self.oom.file() {
            set.add(Token::Oom, file, PollFlags::PRI);
        }
        if let Some(socket) = self.logs.journal.as_ref().and_then(|journal| journal.blocked_socket()) {
            set.add(Token::Journal, socket, PollFlags::OUT);
        }
        (set.tokens, set.fds)
    }

    fn attend(&mut self, token: Token, flags: PollFlags) {
        match token {
            Token::Signals => self.attend_signals(),
            Token::Listener => self.accept(),
            Token::Client(id) => self.attend_client(id, flags),
            Token::Output { process, output } => {
                let Self {
                    processes,
                    buffer,
                    logs,
                    ..
                } = self;
                if let Some(output) = processes
                    .get_mut(process)
                    .and_then(|process| process.outputs.get_mut(output))
                {
                    output.read(buffer, logs);
                }
            }
            Token::Sinks { process, output } => {
                let output = self
                    .processes
                    .get_mut(process)
                    .and_then(|process| process.outputs.get_mut(output));
                output.into_iter().for_each(|output| output.flush_sinks(flags));
            }
            Token::InputTarget { process } => {
                self.processes
                    .get_mut(process)
                    .into_iter()
                    .for_each(|process| process.input.flush());
            }
            Token::InputSource { process, source } => {
                let Self { processes, buffer, .. } = self;
                processes
                    .get_mut(process)
                    .into_iter()
                    .for_each(|process| process.input.read(source, buffer));
            }
            Token::Oom => self.attend_oom(),
            Token::Journal => self
                .logs
                .journal
                .as_mut()
                .into_iter()
                .for_each(|journal| journal.flush()),
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            let id = self.next_client;
            self.next_client += 1;
            self.clients.extend(Client::greet(id, socket));
        }
    }

    fn attend_client(&mut self, id: u64, flags: PollFlags) {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else {
            return;
        };
        if flags.contains(PollFlags::OUT) && !client.flush() || client.fill().is_err() {
            // Requests that came before the end still count.
            self.attend_requests(id);
            self.forget_client(id);
            return;
        }
        self.attend_requests(id);
    }

    fn attend_requests(&mut self, id: u64) {
        loop {
            let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else {
                return;
            };
            match client.next() {
                Received::Nothing => return,
                Received::Closed => return self.forget_client(id),
                Received::Request(request) => {
                    if let Some((outcome, fds)) = self.decide(id, request.id, request.body) {
                        self.answer(id, request.id, outcome, &fds);
                    }
                }
            }
        }
    }

    /// Requests that another copy had read and not attended to.
    pub(crate) fn attend_buffered(&mut self) {
        let ids: Vec<u64> = self.clients.iter().map(|client| client.id).collect();
        ids.into_iter().for_each(|id| self.attend_requests(id));
    }

    /// Sends an outcome to a client, if it is still there.
    pub(crate) fn answer(&mut self, id: u64, request: u64, outcome: Outcome, fds: &[OwnedFd]) {
        let client = self.clients.iter_mut().find(|client| client.id == id);
        if client.is_some_and(|client| !client.answer(request, outcome, fds)) {
            self.forget_client(id);
        }
    }

    /// The connection that asked gets notices from now on.
    pub(crate) fn subscribe(&mut self, id: u64) {
        self.clients
            .iter_mut()
            .filter(|client| client.id == id)
            .for_each(Client::subscribe);
    }

    fn forget_client(&mut self, id: u64) {
        self.clients.retain(|client| client.id != id);
        for process in &mut self.processes {
            process.waiters.retain(|waiter| waiter.client != id);
        }
    }

    pub(crate) fn notify(&mut self, notice: &Notice) {
        self.clients.retain_mut(|client| client.notify(notice));
    }

    fn attend_oom(&mut self) {
        if self.oom.check() {
            self.notify(&Notice::Oom);
        }
    }

    /// Collects every child that has ended; orphans of the container, which came to us, are only collected.
    fn attend_signals(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        self.collect();
    }

    pub(crate) fn collect(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let number = pid.as_raw_nonzero().get();
            if let Some(index) = self
                .processes
                .iter()
                .position(|process| process.pid == number && process.exit.is_none())
            {
                self.drain(index);
                self.attend_end(index, status.exit_status(), status.terminating_signal());
            }
        }
    }

    /// Reads what a process left in its pipes.
    fn drain(&mut self, index: usize) {
        let Self {
            processes,
            buffer,
            logs,
            ..
        } = self;
        let Some(process) = processes.get_mut(index) else {
            return;
        };
        for output in &mut process.outputs {
            while output.read(buffer, logs) {}
        }
    }

    /// Lets go of execs with which nothing is left to do, but for the latest ones' exits.
    fn tidy(&mut self) {
        let ended = self
            .processes
            .iter()
            .skip(1)
            .filter(|process| process.is_finished())
            .count();
        let mut surplus = ended.saturating_sub(MOST_ENDED);
        let mut index = 0;
        self.processes.retain(|process| {
            index += 1;
            let goes = index > 1 && surplus > 0 && process.is_finished();
            surplus -= usize::from(goes);
            !goes
        });
    }
}

#[derive(Default)]
struct Interests<'fd> {
    tokens: Vec<Token>,
    fds: Vec<PollFd<'fd>>,
}

impl<'fd> Interests<'fd> {
    fn add(&mut self, token: Token, fd: &'fd impl AsFd, flags: PollFlags) {
        self.add_fd(token, PollFd::new(fd, flags));
    }

    fn add_fd(&mut self, token: Token, fd: PollFd<'fd>) {
        self.tokens.push(token);
        self.fds.push(fd);
    }

    fn add_process(&mut self, process: usize, known: &'fd Process) {
        for (output, held) in known.outputs.iter().enumerate() {
            if let (Some(source), true) = (&held.source, held.wants_input()) {
                self.add(Token::Output { process, output }, source, PollFlags::IN);
            }
            for sink in &held.sinks {
                // Without flags, to be told when the reader goes.
                let flags = if sink.is_drained() {
                    PollFlags::empty()
                } else {
                    PollFlags::OUT
                };
                self.add(Token::Sinks { process, output }, &sink.fd, flags);
            }
        }
        if let (Some(target), true) = (&known.input.target, known.input.has_pending()) {
            self.add(Token::InputTarget { process }, target, PollFlags::OUT);
        }
        if known.input.wants_input() {
            for (source, held) in known.input.sources.iter().enumerate() {
                self.add(Token::InputSource { process, source }, &held.fd, PollFlags::IN);
            }
        }
    }
}
