//! Where the agent stands, as its socket tells it. Pure.

use keelson_image_layout::{Slot, SlotState, State as Record};
use keelson_update_api as api;

use super::world::World;
use crate::agent::{Agent, Offer, State, Why};

/// What is told beside the agent's own state.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Channel and address, if one is configured.
    pub source: Option<(&'a str, &'a str)>,
    /// The record of the slots, if it can be read.
    pub record: Option<&'a SlotState>,
    /// Bytes fetched for the release under way.
    pub fetched: u64,
    /// When the repository last answered, seconds since 1970.
    pub last_check: Option<u64>,
    /// When it is asked next.
    pub next_check: Option<u64>,
}

impl<'a> Beside<'a> {
    /// Before anything is known.
    #[must_use]
    pub const fn nothing(record: Option<&'a SlotState>) -> Beside<'a> {
        Beside {
            source: None,
            record,
            fetched: 0,
            last_check: None,
            next_check: None,
        }
    }
}

/// All of it.
#[must_use]
pub fn status(world: &World, agent: &Agent, beside: &Beside<'_>) -> api::Status {
    let state = agent.state();
    let slot = world.facts.slot;
    let off = !agent.settings().configured && matches!(state, State::Idle | State::Committed);
    let why = match state {
        State::Waiting { why, .. } => Some(why.clone()),
        State::Staged { why, .. } => why.clone(),
        State::Assessing => Some(Why::Uncommitted),
        _ if off => Some(Why::NotConfigured),
        _ if agent.is_held() => Some(Why::Held),
        _ => None,
    };
    let other = beside.record.map(|record| other(record, slot.other()));
    let given_up = other.clone().filter(|other| other.state == Record::Bad);
    api::Status {
        format: 1,
        state: if off { api::State::Off } else { word(state) },
        version: world.facts.release.version.clone(),
        slot,
        committed: agent.is_committed(),
        held: agent.is_held(),
        channel: beside.source.map(|(channel, _)| channel.to_owned()),
        address: beside.source.map(|(_, address)| address.to_owned()),
        offer: offer_of(state).map(offer),
        progress: progress(state, beside.fetched),
        why: why.map(told),
        last_check: beside.last_check,
        next_check: beside.next_check,
        other,
        given_up: given_up.map(|other| api::GivenUp {
            version: other.version,
            reason: other.reason,
        }),
    }
}

const fn word(state: &State) -> api::State {
    match state {
        State::Idle => api::State::Idle,
        State::Checking => api::State::Checking,
        State::Waiting { .. } => api::State::Waiting,
        State::Downloading { .. } => api::State::Downloading,
        State::Writing { .. } => api::State::Writing,
        State::Verifying { .. } => api::State::Verifying,
        State::Staged { .. } => api::State::Staged,
        State::Rebooting => api::State::Rebooting,
        State::Assessing => api::State::Assessing,
        State::Committed => api::State::Committed,
        State::RolledBack { .. } => api::State::RolledBack,
    }
}

const fn offer_of(state: &State) -> Option<&Offer> {
    match state {
        State::Waiting { offer, .. } => offer.as_ref(),
        State::Downloading { offer } | State::Writing { offer, .. } | State::Verifying { offer } => Some(offer),
        _ => None,
    }
}

fn offer(offer: &Offer) -> api::Offer {
    api::Offer {
        version: offer.version.clone(),
        root_hash: offer.root_hash,
        halted: offer.halted,
        patch: offer.cost.patch,
        full: offer.cost.full,
    }
}

const fn progress(state: &State, fetched: u64) -> Option<api::Progress> {
    match state {
        State::Writing { done, total, .. } => Some(api::Progress {
            done: *done,
            total: *total,
            fetched,
        }),
        _ => None,
    }
}

fn other(record: &SlotState, slot: Slot) -> api::Other {
    let of = record.slot(slot);
    api::Other {
        slot,
        state: of.state,
        reason: of.reason,
        version: of.version_text(),
    }
}

/// The word of a reason is the one that its JSON has.
fn told(why: Why) -> api::Why {
    let words = why.to_string();
    let json = serde_json::to_value(why).unwrap_or_default();
    let kind = json.get("why").and_then(serde_json::Value::as_str);
    api::Why {
        kind: kind.unwrap_or("unknown").to_owned(),
        words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_keep_the_words_of_the_page() {
        let table = [
            (Why::Time, "time"),
            (Why::NotConfigured, "not-configured"),
            (Why::Budget { needed: 2, budget: 1 }, "budget"),
            (Why::Room { what: "x".to_owned() }, "room"),
        ];
        for (why, kind) in table {
            let told = told(why.clone());
            assert_eq!((told.kind.as_str(), told.words), (kind, why.to_string()));
        }
    }
}
