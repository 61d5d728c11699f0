//! The bus itself, `org.freedesktop.DBus`: names, match rules, monitors. No client can own a name, and none learns of
//! another; what is left is what clients need to find and follow our objects.

use std::collections::HashMap;

use zbus::message::Message;
use zbus::{OwnedMatchRule, Variant};

use crate::router::{ClientId, Effect, Router, TooMany};
use crate::{BUS, NAMES, SERVICE};

const INTROSPECTION: &str = include_str!("driver.xml");
const INTERFACE: &str = "org.freedesktop.DBus";
/// Longest match rule.
const MOST_RULE: usize = 1 << 10;
/// Most rules of a monitor.
const MOST_MONITOR_RULES: usize = 16;

/// An error as it goes over the bus.
struct Failure {
    name: &'static str,
    text: String,
}

impl Failure {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Failure {
            name,
            text: text.into(),
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Failure::new("org.freedesktop.DBus.Error.InvalidArgs", error.to_string())
    }
}

impl From<TooMany> for Failure {
    fn from(error: TooMany) -> Self {
        Failure::new("org.freedesktop.DBus.Error.LimitsExceeded", error.to_string())
    }
}

/// A reply, and what follows it.
type Answered = Result<(Message, Vec<Effect>), Failure>;

/// Answers a call to the bus.
///
/// # Errors
/// The call cannot be answered at all.
pub(crate) fn answer(router: &mut Router, id: ClientId, call: &Message) -> zbus::Result<Vec<Effect>> {
    let header = call.header();
    let interface = header.interface().map_or(INTERFACE, |name| name.as_str()).to_owned();
    let member = header.member().map(|name| name.as_str().to_owned()).unwrap_or_default();
    let answered = match (interface.as_str(), member.as_str()) {
        (INTERFACE, "Hello") => hello(router, id, call),
        (INTERFACE, "AddMatch") => add_match(router, id, call),
        (INTERFACE, "RemoveMatch") => remove_match(router, id, call),
        ("org.freedesktop.DBus.Monitoring", "BecomeMonitor") => become_monitor(router, id, call),
        (INTERFACE, _) => names(router, id, call, &member),
        _ => standard(call, &interface, &member),
    };
    match answered {
        Ok((message, after)) => {
            let mut effects = router.answer(id, call, &message);
            effects.extend(after);
            Ok(effects)
        }
        Err(Failure { name, text }) => router.reply_error(id, call, name, &text),
    }
}

fn reply<B>(call: &Message, body: &B) -> Answered
where
    B: serde::Serialize + zbus::DynamicType,
{
    let message = Message::method_return(&call.header()).sender(BUS).build(body)?;
    Ok((message, Vec::new()))
}

fn hello(router: &mut Router, id: ClientId, call: &Message) -> Answered {
    let gone = || Failure::new("org.freedesktop.DBus.Error.Disconnected", "gone");
    let client = router.client(id).ok_or_else(gone)?;
    if std::mem::replace(&mut client.greeted, true) {
        return Err(Failure::new(
            "org.freedesktop.DBus.Error.Failed",
            "hello was said already",
        ));
    }
    let name = client.name.clone();
    let (message, mut after) = reply(call, &name)?;
    after.push(Effect::Send(id, addressed("NameAcquired", &name)?));
    Ok((message, after))
}

/// A signal of the bus for one client, about its own name.
fn addressed(member: &str, name: &str) -> zbus::Result<Message> {
    Message::signal("/org/freedesktop/DBus", INTERFACE, member)
        .sender(BUS)
        .destination(name)
        .build(&name)
}

fn rule_of(text: &str) -> Result<OwnedMatchRule, Failure> {
    let invalid = |text: String| Failure::new("org.freedesktop.DBus.Error.MatchRuleInvalid", text);
    if text.len() > MOST_RULE {
        return Err(invalid(format!("a match rule has at most {MOST_RULE} bytes")));
    }
    OwnedMatchRule::try_from(text).map_err(|error| invalid(error.to_string()))
}

fn add_match(router: &mut Router, id: ClientId, call: &Message) -> Answered {
    let body = call.body();
    let rule = rule_of(body.deserialize()?)?;
    if let Some(client) = router.client(id) {
        client.add_rule(rule)?;
    }
    reply(call, &())
}

fn remove_match(router: &mut Router, id: ClientId, call: &Message) -> Answered {
    let body = call.body();
    let rule = rule_of(body.deserialize()?)?;
    if router.client(id).is_some_and(|client| client.remove_rule(&rule)) {
        return reply(call, &());
    }
    let text = "there is no such match rule";
    Err(Failure::new("org.freedesktop.DBus.Error.MatchRuleNotFound", text))
}

/// Whoever may look may watch: there is nothing on this bus but our objects, and what is asked of them.
fn become_monitor(router: &mut Router, id: ClientId, call: &Message) -> Answered {
    let body = call.body();
    let (texts, _flags): (Vec<&str>, u32) = body.deserialize()?;
    if texts.len() > MOST_MONITOR_RULES {
        let (most, what) = (MOST_MONITOR_RULES, "match rules of a monitor");
        return Err(TooMany { most, what }.into());
    }
    let rules = texts.into_iter().map(rule_of).collect::<Result<Vec<_>, _>>()?;
    let (message, mut after) = reply(call, &())?;
    if let Some(client) = router.client(id) {
        client.become_monitor(rules);
        // It waits for this before it believes that it only listens.
        let lost = addressed("NameLost", &client.name)?;
        after.push(Effect::Send(id, lost));
    }
    Ok((message, after))
}

/// Who has which name.
fn names(router: &mut Router, id: ClientId, call: &Message, member: &str) -> Answered {
    let own = router.client(id).map(|client| client.name.clone()).unwrap_or_default();
    let body = call.body();
    match member {
        "GetId" => reply(call, &router.guid),
        "ListNames" => {
            let all: Vec<&str> = [BUS, SERVICE, &own].into_iter().chain(NAMES).collect();
            reply(call, &all)
        }
        "ListActivatableNames" => reply(call, &NAMES.to_vec()),
        "NameHasOwner" => {
            let name: &str = body.deserialize()?;
            reply(call, &owner(name, &own).is_some())
        }
        "GetNameOwner" => {
            let name: &str = body.deserialize()?;
            reply(call, &owner(name, &own).ok_or_else(|| no_owner(name))?)
        }
        "ListQueuedOwners" => {
            let name: &str = body.deserialize()?;
            reply(call, &vec![owner(name, &own).ok_or_else(|| no_owner(name))?])
        }
        "StartServiceByName" => {
            let (name, _flags): (&str, u32) = body.deserialize()?;
            owner(name, &own).ok_or_else(|| unknown_service(name))?;
            // It runs already.
            reply(call, &2_u32)
        }
        "RequestName" => {
            let (name, _flags): (&str, u32) = body.deserialize()?;
            let text = format!("{name}: names on this bus belong to the system; nobody can own one");
            Err(Failure::new("org.freedesktop.DBus.Error.AccessDenied", text))
        }
        "ReleaseName" => {
            let name: &str = body.deserialize()?;
            // Owned by another, or by nobody.
            reply(call, &if owner(name, &own).is_some() { 3_u32 } else { 2 })
        }
        "GetConnectionCredentials" | "GetConnectionUnixUser" | "GetConnectionUnixProcessID" => {
            let name: &str = body.deserialize()?;
            credentials(call, member, owner(name, &own).ok_or_else(|| no_owner(name))?)
        }
        _ => Err(unknown_method(INTERFACE, member)),
    }
}

/// Of this program only: what is known of other clients is theirs.
fn credentials(call: &Message, member: &str, owner: &str) -> Answered {
    if owner != BUS && owner != SERVICE {
        let text = "what is known of clients is not told";
        return Err(Failure::new("org.freedesktop.DBus.Error.AccessDenied", text));
    }
    let (user, process) = (rustix::process::getuid().as_raw(), std::process::id());
    match member {
        "GetConnectionUnixUser" => reply(call, &user),
        "GetConnectionUnixProcessID" => reply(call, &process),
        _ => {
            let all = [
                ("UnixUserID", Variant::from(user)),
                ("ProcessID", Variant::from(process)),
            ];
            reply(call, &HashMap::from(all))
        }
    }
}

/// What every object has.
fn standard(call: &Message, interface: &str, member: &str) -> Answered {
    match (interface, member) {
        ("org.freedesktop.DBus.Peer", "Ping") => reply(call, &()),
        ("org.freedesktop.DBus.Introspectable", "Introspect") => reply(call, &INTROSPECTION),
        ("org.freedesktop.DBus.Properties", "GetAll") => reply(call, &HashMap::<&str, Variant<'_>>::from(properties())),
        ("org.freedesktop.DBus.Properties", "Get") => {
            let body = call.body();
            let (_interface, name): (&str, &str) = body.deserialize()?;
            let [features, interfaces] = properties();
            match [features, interfaces].into_iter().find(|known| known.0 == name) {
                Some((_, value)) => reply(call, &value),
                None => Err(Failure::new(
                    "org.freedesktop.DBus.Error.UnknownProperty",
                    format!("the bus has no property {name}"),
                )),
            }
        }
        _ => Err(unknown_method(interface, member)),
    }
}

fn properties() -> [(&'static str, Variant<'static>); 2] {
    let interfaces = vec!["org.freedesktop.DBus.Monitoring"];
    [
        ("Features", Variant::from(Vec::<&str>::new())),
        ("Interfaces", Variant::from(interfaces)),
    ]
}

/// The unique name behind a name, of those that this client may know.
fn owner<'a>(name: &str, own: &'a str) -> Option<&'a str> {
    match name {
        BUS => Some(BUS),
        SERVICE => Some(SERVICE),
        name if NAMES.contains(&name) => Some(SERVICE),
        name if name == own => Some(own),
        _ => None,
    }
}

fn no_owner(name: &str) -> Failure {
    let text = format!("nobody here has the name {name}");
    Failure::new("org.freedesktop.DBus.Error.NameHasNoOwner", text)
}

fn unknown_service(name: &str) -> Failure {
    let text = format!("there is no {name} here, and nothing that could be started for it");
    Failure::new("org.freedesktop.DBus.Error.ServiceUnknown", text)
}

fn unknown_method(interface: &str, member: &str) -> Failure {
    let text = format!("the bus has no method {interface}.{member}");
    Failure::new("org.freedesktop.DBus.Error.UnknownMethod", text)
}
