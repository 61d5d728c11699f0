//! The rows of `[update]`.

use super::Apply::Live;
use super::Kind::{Table, Tables, Text, Texts, Word};
use super::Presence::{Default, Optional, Required};
use super::table::row;
use super::{Key, Rule};
use crate::model::{ApplyMode, RebootMode};

pub(super) const KEYS: &[Key] = &[
    row("update", Table, Optional, Live, "Updates of the system."),
    row(
        "update.address",
        Text(Rule::RepositoryUrl),
        Optional,
        Live,
        "Where releases are fetched from: the folder that holds `metadata` and `targets`. What comes from there is \
         believed only as far as it is signed; https is for who must not see what is fetched. Without it nobody is \
         asked.",
    ),
    row(
        "update.channel",
        Text(Rule::Name),
        Default("\"stable\""),
        Live,
        "The channel whose offers are followed.",
    ),
    row(
        "update.pin",
        Text(Rule::ReleaseVersion),
        Optional,
        Live,
        "The one version to go to; any other is left alone.",
    ),
    row(
        "update.floor",
        Text(Rule::ReleaseVersion),
        Optional,
        Live,
        "The lowest version to go to.",
    ),
    row(
        "update.apply",
        Word(ApplyMode::WORDS),
        Default("\"auto\""),
        Live,
        "Whether an offered release is fetched and written by itself, or when `update apply` asks for it.",
    ),
    row(
        "update.reboot",
        Word(RebootMode::WORDS),
        Default("\"now\""),
        Live,
        "Whether the machine reboots into a written release by itself, or when `update apply` or anything else asks for \
         the reboot.",
    ),
    row(
        "update.byte-rate",
        Text(Rule::Size(1024)),
        Optional,
        Live,
        "Most bytes a second that are fetched.",
    ),
    row(
        "update.byte-budget",
        Text(Rule::Size(1024)),
        Optional,
        Live,
        "Most bytes that one update may fetch by itself; `update apply` takes it all the same.",
    ),
    row(
        "update.health-for",
        Text(Rule::Span(86400)),
        Default("\"1m\""),
        Live,
        "How long everything has to be well after an update before it is kept: what the boot requires, the system's \
         services, the declared containers that are to run always, and the probes.",
    ),
    row(
        "update.health-within",
        Text(Rule::Span(86400)),
        Default("\"10m\""),
        Live,
        "How long that may take in all. After it the machine goes back to the release and the configuration before.",
    ),
    row(
        "update.probe",
        Tables,
        Optional,
        Live,
        "A question that has to be answered well, asked every five seconds: one of `http`, `tcp`, `exec` and `unit`.",
    ),
    row(
        "update.probe[].name",
        Text(Rule::Name),
        Required,
        Live,
        "What people call it.",
    ),
    row(
        "update.probe[].http",
        Text(Rule::ProbeUrl),
        Optional,
        Live,
        "A GET that has to be answered with a status from 200 to 399.",
    ),
    row(
        "update.probe[].tcp",
        Text(Rule::ProbeAddress),
        Optional,
        Live,
        "An address that has to take a connection.",
    ),
    row(
        "update.probe[].exec",
        Texts(Rule::Free(32768)),
        Optional,
        Live,
        "A program and its arguments that have to end with 0. Needs `container`.",
    ),
    row(
        "update.probe[].container",
        Text(Rule::Name),
        Optional,
        Live,
        "The declared container it runs in.",
    ),
    row(
        "update.probe[].unit",
        Text(Rule::Name),
        Optional,
        Live,
        "A unit of the system that has to be up.",
    ),
    row(
        "update.probe[].timeout",
        Text(Rule::Span(60)),
        Default("\"3s\""),
        Live,
        "How long the answer may take.",
    ),
];
