//! Looking for a target: targets first, then delegated roles in pre-order, each fetched when it is asked and not before.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::client::Client;
use crate::error::{Error, Refused};
use crate::fetch::{Fetch, whole};
use crate::hashes::{Check, Mismatch};
use crate::location::Location;
use crate::metadata::{DelegatedRole, Delegations, TargetFile, Targets};
use crate::store::Store;
use crate::trusted::TrustedSet;
use crate::verify::Verified;

/// A target that a role signed which may sign for its name.
#[derive(Debug, Clone)]
pub struct Target {
    name: String,
    role: String,
    file: TargetFile,
    location: Location,
}

impl Target {
    /// Its name, without hash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The role that signed for it.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Length, hashes and what the repository says about it.
    #[must_use]
    pub fn file(&self) -> &TargetFile {
        &self.file
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Begins a check of its bytes, for those who fetch them in their own way.
    ///
    /// # Errors
    /// None of its hashes is of a kind that is known.
    pub fn check(&self) -> Result<Check, Mismatch> {
        self.file.hashes.check(Some(self.file.length))
    }

    pub(crate) fn refused(&self, mismatch: Mismatch) -> Error {
        let (file, problem) = (self.name.clone(), mismatch.into());
        Refused { file, problem }.into()
    }

    pub(crate) fn unwritten(&self, source: io::Error) -> Error {
        let target = self.name.clone();
        Error::Write { target, source }
    }

    pub(crate) fn expect_at_most(&self, limit: u64) -> Result<(), Error> {
        let (target, length) = (self.name.clone(), self.file.length);
        match length <= limit {
            true => Ok(()),
            false => Err(Error::LongTarget { target, length, limit }),
        }
    }
}

/// A role still to be asked, with the delegations it was found in.
struct Step {
    delegations: Arc<Delegations>,
    at: usize,
    depth: usize,
}

impl Step {
    fn role(&self) -> Option<&DelegatedRole> {
        self.delegations.roles.get(self.at)
    }
}

/// The roles that a role hands a name on to, in order, ending with the first terminating one.
struct Onward {
    steps: Vec<Step>,
    is_last: bool,
}

fn onward(targets: &Targets, name: &str, depth: usize) -> Onward {
    let mut onward = Onward {
        steps: Vec::new(),
        is_last: false,
    };
    let Some(delegations) = targets.delegations.clone().map(Arc::new) else {
        return onward;
    };
    for (at, role) in delegations
        .roles
        .iter()
        .enumerate()
        .filter(|(_, role)| role.covers(name))
    {
        onward.steps.push(Step {
            delegations: delegations.clone(),
            at,
            depth,
        });
        if role.terminating {
            onward.is_last = true;
            break;
        }
    }
    onward
}

/// The roles still to be asked, next one last.
struct Search {
    name: String,
    stack: Vec<Step>,
    asked: BTreeSet<String>,
}

impl Search {
    /// What is handed on comes before what was left over; nothing is left over after a terminating role.
    fn hand_on(&mut self, onward: Onward) {
        if onward.is_last {
            self.stack.clear();
        }
        self.stack.extend(onward.steps.into_iter().rev());
    }

    /// The next role, each name once: a circle ends.
    fn next(&mut self) -> Option<Step> {
        loop {
            let step = self.stack.pop()?;
            let role = step.role()?;
            if self.asked.insert(role.name.clone()) {
                return Some(step);
            }
        }
    }

    fn found(&self, role: &str, targets: &Targets) -> Result<Option<Target>, Error> {
        let Some(file) = targets.targets.get(&self.name) else {
            return Ok(None);
        };
        let name = self.name.clone();
        let Some(location) = Location::target(&name, file) else {
            return Err(Error::TargetName { target: name });
        };
        Ok(Some(Target {
            name,
            role: role.to_owned(),
            file: file.clone(),
            location,
        }))
    }
}

impl<F: Fetch, S: Store> Client<F, S> {
    /// Looks for a target by name.
    ///
    /// # Errors
    /// A role that has to be asked on the way cannot be had or is not believed: what it would have said is not known,
    /// so no later role is asked.
    pub async fn find(&mut self, set: &TrustedSet, name: &str) -> Result<Option<Target>, Error> {
        let mut search = Search {
            name: name.to_owned(),
            stack: Vec::new(),
            asked: BTreeSet::new(),
        };
        if let Some(target) = search.found("targets", &set.targets)? {
            return Ok(Some(target));
        }
        search.hand_on(onward(&set.targets, name, 1));
        while let Some(step) = search.next() {
            let limit = self.limits.delegations;
            if search.asked.len() > limit || step.depth > self.limits.depth {
                let target = search.name;
                return Err(Error::ManyDelegations { target, limit });
            }
            let Some(role) = step.role() else { break };
            let targets = self.delegated(set, &step.delegations, role).await?;
            if let Some(target) = search.found(&role.name, &targets)? {
                return Ok(Some(target));
            }
            search.hand_on(onward(&targets, name, step.depth + 1));
        }
        Ok(None)
    }

    async fn delegated(
        &mut self,
        set: &TrustedSet,
        delegations: &Delegations,
        role: &DelegatedRole,
    ) -> Result<Verified<Targets>, Error> {
        let (location, limit) = set.delegated_location(&role.name, &self.limits)?;
        if let Some(current) = self.stored(&role.name, |file| set.delegated(delegations, role, file))? {
            return Ok(current);
        }
        let file = whole(&self.fetch, &location, limit).await?;
        let targets = set.delegated(delegations, role, file)?;
        self.store.save(&role.name, targets.bytes())?;
        Ok(targets)
    }
}
