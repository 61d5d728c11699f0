//! The system stage: PID 1 of the running machine. One loop (`turn`) around the supervisor, which decides; everything
//! else here reads one source or performs one kind of action. Single threaded; no call in here may block.

mod authority;
mod calls;
pub mod cgroup;
pub mod console;
pub mod control;
pub mod devices;
mod ending;
pub mod handover;
pub mod hardware;
pub mod load;
pub mod loopback;
pub mod notify;
pub mod options;
mod perform;
pub mod power;
mod prepare;
mod reap;
mod reexec;
pub mod sockets;
pub mod sources;
pub mod spawn;
pub mod sysctl;
pub mod tree;
mod turn;
pub mod uevent;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use keelson_image_layout::boot_history::Asker;
use keelson_image_layout::{BootFacts, paths};
use keelson_manager_api::PowerKind;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::manager::{Event, Manager};
use cgroup::Groups;
use console::Console;
use control::Control;
use hardware::Hardware;
use options::Options;
use sources::{Source, Sources};

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
    /// Units that are down and whose sockets are watched for somebody who needs them.
    on_call: BTreeSet<String>,
    pipes: BTreeMap<String, OwnedFd>,
    hardware: Option<Hardware>,
    facts: Option<BootFacts>,
    more_to_reap: bool,
    /// Who wanted the machine to go down.
    asker: Option<Asker>,
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
        log::info!("system stage");
        crate::last_words::install();
    } else {
        console::log_to_standard_error();
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
    system.leave_word(kind);
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
            prepare::prepare_machine(console);
        }
        std::fs::create_dir_all(&options.run)?;
        let groups = Groups::set_up(&options.cgroup).map_err(|error| io::Error::other(perform::describe(&error)))?;
        let notify = notify::listen(&options.notify())?;
        let control = Control::listen(&options.control())?;
        let facts = prepare::read_facts(&options);
        let units = load::load_units(&prepare::unit_folders(&options, facts.as_ref()), console);
        groups.protect(units.values().filter_map(|unit| unit.resources.memory_min));
        let manager = Manager::new(units, prepare::boot_policy(facts.as_ref()));
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
            facts: prepare::read_facts(&options),
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
            on_call: BTreeSet::new(),
            pipes: BTreeMap::new(),
            more_to_reap: true,
            asker: None,
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

    fn say_boot_complete(&self) {
        if let Err(error) = std::fs::write(self.options.boot_complete(), "") {
            log::warn!("no sign of the complete boot is left: {error}");
        }
        let after = turn::now().as_secs_f64();
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

    fn leave_word(&mut self, kind: PowerKind) {
        let (Some(facts), Some(asker)) = (&self.facts, self.asker.take()) else {
            return;
        };
        if let Err(error) = ending::leave(Path::new(paths::BOOT_ENDING), facts, kind, asker) {
            self.console
                .complain(format!("the boot history will not know of this end: {error}"));
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
