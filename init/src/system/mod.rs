//! The system stage: PID 1 of the running machine. One loop: wait, turn what is ready into events, let the supervisor
//! step, perform its actions. Single threaded; no call in here may block.

pub mod cgroup;
pub mod console;
pub mod control;
pub mod devices;
pub mod handover;
pub mod hardware;
pub mod load;
pub mod loopback;
pub mod notify;
pub mod options;
mod perform;
pub mod power;
mod reap;
mod reexec;
pub mod sockets;
pub mod sources;
pub mod spawn;
pub mod sysctl;
pub mod tree;
pub mod uevent;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use keelson_image_layout::{BootFacts, paths};
use keelson_manager_api::PowerKind;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::manager::boot::Otherwise;
use crate::manager::{BootPolicy, Connection, Event, Manager};
use cgroup::{Groups, Place};
use console::Console;
use control::{Control, Received};
use hardware::Hardware;
use options::Options;
use sources::{Source, Sources};

/// How long a boot may take to be complete.
const BOOT_WITHIN: Duration = Duration::from_secs(300);

/// PID 1.
#[derive(Debug)]
pub struct System {
    options: Options,
    console: Console,
    manager: Manager,
    /// Unit names in order; sources name units by their place in it.
    names: Vec<String>,
    sources: Sources,
    signals: SignalFd,
    notify: OwnedFd,
    control: Control,
    groups: Groups,
    sockets: BTreeMap<String, Vec<OwnedFd>>,
    pipes: BTreeMap<String, OwnedFd>,
    hardware: Option<Hardware>,
    facts: Option<BootFacts>,
    more_to_reap: bool,
    finished: Option<PowerKind>,
}

/// Runs the system stage until the machine goes down; then the code a container's init ends with.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            Console::StandardError.complain(error.to_string());
            return ExitCode::from(2);
        }
    };
    let console = if options.hardware {
        Console::Machine
    } else {
        Console::StandardError
    };
    if options.hardware {
        crate::kmsg::install();
        crate::last_words::install();
    }
    let mut system = match System::start(options, console) {
        Ok(system) => system,
        Err(error) => {
            console.complain(format!("the system stage cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let kind = system.run();
    if system.hardware.is_none() {
        return ExitCode::SUCCESS;
    }
    match power::go_down(kind, console) {
        Ok(never) => match never {},
        Err(error) => {
            console.complain(format!("the machine does not go down: {error}"));
            ExitCode::FAILURE
        }
    }
}

impl System {
    fn start(options: Options, console: Console) -> io::Result<Self> {
        let signals = block_signals()?;
        if let Some(number) = options.restore {
            return Self::resume(options, console, signals, number);
        }
        if options.hardware {
            prepare_machine(console);
        }
        std::fs::create_dir_all(&options.run)?;
        let groups = Groups::set_up(&options.cgroup).map_err(|error| io::Error::other(perform::describe(&error)))?;
        let notify = notify::listen(&options.notify())?;
        let control = Control::listen(&options.control())?;
        let units = load::load_units(&options.units, console);
        groups.protect(units.values().filter_map(|unit| unit.resources.memory_min));
        let manager = Manager::new(units, boot_policy(read_facts(&options).as_ref()));
        let mut system = Self::assemble(options, console, manager, signals, notify, control, groups)?;
        system.make_all_sockets();
        system.dispatch(Event::Boot);
        Ok(system)
    }

    fn assemble(
        options: Options,
        console: Console,
        manager: Manager,
        signals: SignalFd,
        notify: OwnedFd,
        control: Control,
        groups: Groups,
    ) -> io::Result<Self> {
        let sources = Sources::new()?;
        sources.watch(&signals, Source::Signals)?;
        sources.watch(&notify, Source::Notify)?;
        sources.watch(control.listener(), Source::Listener)?;
        let hardware = options.hardware.then(|| Hardware::open(&sources));
        Ok(System {
            facts: read_facts(&options),
            hardware,
            names: manager.entries().keys().cloned().collect(),
            options,
            console,
            manager,
            sources,
            signals,
            notify,
            control,
            groups,
            sockets: BTreeMap::new(),
            pipes: BTreeMap::new(),
            more_to_reap: true,
            finished: None,
        })
    }

    /// All sockets exist before the first unit starts.
    fn make_all_sockets(&mut self) {
        let units: Vec<_> = self
            .manager
            .entries()
            .values()
            .map(|entry| entry.unit.clone())
            .collect();
        for unit in units {
            if let Err(reason) = self.make_sockets(&unit) {
                self.console
                    .complain(format!("{}: {reason}; tried again at its start", unit.name));
            }
        }
    }

    fn run(&mut self) -> PowerKind {
        loop {
            if let Some(kind) = self.finished {
                return kind;
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        for source in self.sources.wait(self.timeout()) {
            self.serve(source);
        }
        if self.more_to_reap {
            self.more_to_reap = self.reap();
        }
        if let Some(hardware) = self.hardware.as_mut() {
            hardware.feed(now());
        }
        self.dispatch(Event::Tick);
    }

    fn timeout(&self) -> Option<Duration> {
        if self.more_to_reap {
            return Some(Duration::ZERO);
        }
        // A millisecond more, so that a deadline has passed when the wait ends.
        let until = |deadline: Duration| deadline.saturating_sub(now()) + Duration::from_millis(1);
        let fed = self.hardware.as_ref().and_then(Hardware::feed_at);
        self.manager.next_deadline().into_iter().chain(fed).min().map(until)
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Notify => self.drain_notifications(),
            Source::Pipe(index) => {
                if let Some(unit) = self.name(index) {
                    self.drain_status(&unit);
                }
            }
            Source::Group(index) => {
                if let Some(unit) = self.name(index)
                    && !self.groups.is_populated(&unit)
                {
                    self.dispatch(Event::GroupEmpty { unit });
                }
            }
            Source::Signals => self.drain_signals(),
            Source::Devices => {
                if let Some(hardware) = self.hardware.as_mut() {
                    hardware.drain(&self.sources);
                }
            }
            Source::Button(index) => {
                if self
                    .hardware
                    .as_mut()
                    .is_some_and(|hardware| hardware.is_pressed(index))
                {
                    self.console.say("power button pressed");
                    self.dispatch(Event::AskedToPowerOff);
                }
            }
            Source::Listener => self.accept(),
            Source::Connection(number) => self.serve_connection(number),
        }
    }

    /// One event and everything that follows from it at once.
    fn dispatch(&mut self, event: Event) {
        let mut pending = VecDeque::from([event]);
        while let Some(event) = pending.pop_front() {
            for action in self.manager.step(now(), event) {
                pending.extend(self.perform(action));
            }
        }
    }

    fn drain_notifications(&mut self) {
        while let Some((sender, message)) = notify::receive(&self.notify) {
            if let Some(unit) = self.unit_of_process(sender) {
                self.dispatch(Event::Notified { unit, message });
            }
        }
    }

    fn drain_status(&mut self, unit: &str) {
        let Some(pipe) = self.pipes.get(unit) else { return };
        let event = match spawn::read_status(pipe) {
            spawn::Status::Silent => return,
            spawn::Status::Executed => Event::Executed { unit: unit.to_owned() },
            spawn::Status::Failed(reason) => Event::ExecFailed {
                unit: unit.to_owned(),
                reason,
            },
        };
        self.pipes.remove(unit);
        self.dispatch(event);
    }

    fn drain_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok());
            match signal {
                Some(Signal::SIGCHLD) => self.more_to_reap = true,
                Some(Signal::SIGINT) => self.dispatch(Event::AskedToReboot),
                Some(Signal::SIGTERM) => self.dispatch(Event::AskedToPowerOff),
                Some(Signal::SIGUSR1) => self.dispatch(Event::AskedToReexec),
                _ => {}
            }
        }
    }

    fn accept(&mut self) {
        if let Some((number, socket)) = self.control.accept(&self.groups, &self.manager)
            && let Err(error) = self.sources.watch(socket, Source::Connection(number))
        {
            log::warn!("control connection is not watched: {error}");
        }
    }

    fn serve_connection(&mut self, number: u32) {
        let connection = Connection(u64::from(number));
        let authority = self.control.authority(number);
        for received in self.control.receive(number) {
            let event = match received {
                Received::Request(frame) => {
                    log::info!(
                        "asked to {}, with authority {authority:?}",
                        control::describe(&frame.request)
                    );
                    let (id, request) = (frame.id, frame.request);
                    Event::Asked {
                        connection,
                        id,
                        authority,
                        request,
                    }
                }
                Received::Closed => Event::Disconnected { connection },
            };
            self.dispatch(event);
        }
    }

    /// The unit a process belongs to: as its main process, or by its control group.
    fn unit_of_process(&self, pid: i32) -> Option<String> {
        if let Some(unit) = self.manager.unit_of(pid) {
            return Some(unit.to_owned());
        }
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        match self.groups.place(&text) {
            Place::Unit(unit) => Some(unit.to_owned()),
            Place::Machine | Place::Outside => None,
        }
    }

    fn say_boot_complete(&self) {
        let after = now().as_secs_f64();
        match &self.facts {
            Some(BootFacts { release, slot, .. }) => {
                let (version, slot) = (&release.version, slot.letter());
                self.console
                    .say(format!("version {version} is up (slot {slot}): ready in {after:.1} s"));
                self.console
                    .say(format!("boot-complete slot={slot} version={version} after={after:.1}s"));
            }
            None => self.console.say(format!("boot-complete after={after:.1}s")),
        }
    }

    fn name(&self, index: u32) -> Option<String> {
        self.names.get(index as usize).cloned()
    }

    fn index(&self, name: &str) -> u32 {
        let place = self.names.iter().position(|known| known == name);
        place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX)
    }
}

/// Everything that has to be there before the first unit.
fn prepare_machine(console: Console) {
    tree::set_up(console);
    sysctl::apply();
    if let Err(error) = loopback::bring_up() {
        console.complain(format!("the loopback link is down: {error}"));
    }
    // Ctrl-Alt-Del becomes SIGINT, and with it an orderly reboot.
    if let Err(error) = nix::sys::reboot::set_cad_enabled(false) {
        log::info!("Ctrl-Alt-Del still resets at once: {error}");
    }
}

/// What the initramfs found out; a container has none.
fn read_facts(options: &Options) -> Option<BootFacts> {
    if !options.hardware {
        return None;
    }
    let text = std::fs::read(paths::BOOT_FACTS)
        .inspect_err(|error| log::warn!("no facts of this boot: {error}"))
        .ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| log::warn!("facts of this boot: {error}"))
        .ok()
}

/// A slot on trial is left if it does not work; a proven one is kept for people to look at.
fn boot_policy(facts: Option<&BootFacts>) -> BootPolicy {
    let on_trial = facts.is_some_and(|facts| facts.trial);
    BootPolicy {
        target: "boot-complete".to_owned(),
        within: BOOT_WITHIN,
        otherwise: if on_trial { Otherwise::Reboot } else { Otherwise::Stay },
    }
}

/// The signals PID 1 reads; they are blocked and so never interrupt anything. Programs start with nothing blocked.
fn block_signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
        Signal::SIGHUP,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    Ok(SignalFd::with_flags(
        &mask,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// The monotonic clock, which starts with the kernel.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(time).unwrap_or_default()
}
