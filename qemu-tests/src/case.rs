//! An explicit table of cases and its runner. A table, since link-time registration can lose a case silently.

use std::process::ExitCode;
use std::str::FromStr;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::environment::Environment;

/// How much of a suite runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// What every change must pass.
    Short,
    /// Everything.
    Full,
}

impl FromStr for Extent {
    type Err = String;

    fn from_str(text: &str) -> Result<Extent, String> {
        match text {
            "short" => Ok(Extent::Short),
            "full" => Ok(Extent::Full),
            other => Err(format!("{other:?} is neither short nor full")),
        }
    }
}

/// One case of a suite.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// A sentence, as a test's name.
    pub name: &'static str,
    /// The smallest extent it belongs to.
    pub extent: Extent,
    /// Whether it makes network namespaces: left out without root.
    pub needs_root: bool,
    /// The case.
    pub run: fn(&Environment) -> anyhow::Result<()>,
}

impl Case {
    /// A case of every run.
    #[must_use]
    pub const fn short(name: &'static str, run: fn(&Environment) -> anyhow::Result<()>) -> Case {
        Case {
            name,
            extent: Extent::Short,
            needs_root: false,
            run,
        }
    }

    /// A case of full runs only.
    #[must_use]
    pub const fn full(name: &'static str, run: fn(&Environment) -> anyhow::Result<()>) -> Case {
        Case {
            name,
            extent: Extent::Full,
            needs_root: false,
            run,
        }
    }
}

impl Case {
    /// The same case, left out without root.
    #[must_use]
    pub const fn as_root(self) -> Case {
        Case {
            needs_root: true,
            ..self
        }
    }
}

/// Runs a suite under libtest's command line. Without a machine to run on every case counts as ignored.
#[must_use]
pub fn run(cases: &'static [Case]) -> ExitCode {
    let arguments = Arguments::from_args();
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(error) => {
            return libtest_mimic::run(
                &arguments,
                vec![Trial::test("environment", move || Err(failed(&error)))],
            )
            .exit_code();
        }
    };
    let trials = cases.iter().map(|case| trial(case, environment.clone())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(case: &'static Case, environment: Option<Environment>) -> Trial {
    let allowed = !case.needs_root || rustix::process::geteuid().is_root();
    let wanted = allowed
        && environment
            .as_ref()
            .is_some_and(|environment| case.extent <= environment.extent);
    Trial::test(case.name, move || {
        environment.map_or(Ok(()), |environment| {
            (case.run)(&environment).map_err(|error| failed(&error))
        })
    })
    .with_ignored_flag(!wanted)
}

fn failed(error: &anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}
