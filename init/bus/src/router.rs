//! Where each message goes, without I/O. Clients talk with the bus and with our objects; nothing that one client says
//! reaches another, but for the copies that monitors get.

use std::collections::BTreeMap;

use zbus::message::{Flags, Message, Type};
use zbus::{MatchRule, OwnedMatchRule};

use crate::access::{Caller, Place};
use crate::policy::{self, Refused};
use crate::{BUS, NAMES, SERVICE, driver};

/// Most clients at once.
pub const MOST_CLIENTS: usize = 32;
/// Most clients of one container.
const MOST_OF_A_PLACE: usize = 8;
/// Most calls of a client that wait for their answer.
const MOST_CALLS: usize = 16;
/// Most match rules of a client.
const MOST_RULES: usize = 64;

/// A client; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What follows from a message.
#[derive(Debug)]
pub enum Effect {
    /// A message for a client.
    Send(ClientId, Message),
    /// A call for our objects.
    Call(Message),
    /// The client's connection ends: it breaks the protocol.
    Close(ClientId),
}

/// All clients.
#[derive(Debug)]
pub struct Router {
    pub(crate) guid: String,
    clients: BTreeMap<ClientId, Client>,
    next: u64,
}

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Client {
    pub name: String,
    pub caller: Caller,
    /// It has said hello.
    pub greeted: bool,
    rules: Vec<OwnedMatchRule>,
    /// It gets copies of everything, and says nothing any more.
    monitor: bool,
    /// Serials of calls to our objects that were not answered.
    calls: Vec<u32>,
}

/// Too many of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at most {most} {what}")]
pub struct TooMany {
    pub(crate) most: usize,
    pub(crate) what: &'static str,
}

impl Router {
    /// Nobody is there.
    #[must_use]
    pub fn new(guid: &str) -> Self {
        Router {
            guid: guid.to_owned(),
            clients: BTreeMap::new(),
            next: 1,
        }
    }

    /// Lets a client in.
    ///
    /// # Errors
    /// [`TooMany`] clients, or too many of one container.
    pub fn add(&mut self, caller: Caller) -> Result<ClientId, TooMany> {
        let alike = self
            .clients
            .values()
            .filter(|client| client.caller.place == caller.place);
        let bounded = caller.place != Place::Machine;
        if bounded && alike.count() >= MOST_OF_A_PLACE {
            let (most, what) = (MOST_OF_A_PLACE, "connections of one container");
            return Err(TooMany { most, what });
        }
        if self.clients.len() >= MOST_CLIENTS {
            let (most, what) = (MOST_CLIENTS, "connections");
            return Err(TooMany { most, what });
        }
        let id = ClientId(self.next);
        self.next += 1;
        let client = Client {
            name: format!(":1.{}", id.0),
            caller,
            greeted: false,
            rules: Vec::new(),
            monitor: false,
            calls: Vec::new(),
        };
        self.clients.insert(id, client);
        Ok(id)
    }

    /// The client is gone.
    pub fn remove(&mut self, id: ClientId) {
        self.clients.remove(&id);
    }

    /// Where the client with this unique name runs.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<&Place> {
        let client = self.clients.values().find(|client| client.name == name);
        client.map(|client| &client.caller.place)
    }

    pub(crate) fn client(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(&id)
    }

    /// A message of a client.
    pub fn from_client(&mut self, id: ClientId, message: &Message) -> Vec<Effect> {
        // What cannot be built or addressed ends the connection that caused it.
        self.route(id, message).unwrap_or_else(|error| {
            log::info!("a client's message cannot be used: {error}");
            vec![Effect::Close(id)]
        })
    }

    fn route(&mut self, id: ClientId, message: &Message) -> zbus::Result<Vec<Effect>> {
        let Some(client) = self.clients.get(&id) else {
            return Ok(Vec::new());
        };
        if client.monitor {
            return Ok(vec![Effect::Close(id)]);
        }
        // Nobody calls a client, and clients signal nobody.
        if message.message_type() != Type::MethodCall {
            return Ok(Vec::new());
        }
        let message = message.with_sender(&client.name.as_str().try_into()?)?;
        let header = message.header();
        let member = header.member().map(|member| member.as_str()).unwrap_or_default();
        let destination = header.destination().map_or(BUS, |name| name.as_str());
        if !client.greeted && (destination, member) != (BUS, "Hello") {
            return Ok(vec![Effect::Close(id)]);
        }
        let mut effects = self.copies(&message);
        effects.extend(match destination {
            BUS => driver::answer(self, id, &message)?,
            SERVICE => self.call(id, &message)?,
            name if NAMES.contains(&name) => self.call(id, &message)?,
            name => {
                let text = format!("there is no {name} here; clients of this bus talk to its own objects only");
                self.reply_error(id, &message, "org.freedesktop.DBus.Error.ServiceUnknown", &text)?
            }
        });
        Ok(effects)
    }

    /// A call to our objects.
    fn call(&mut self, id: ClientId, message: &Message) -> zbus::Result<Vec<Effect>> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(Vec::new());
        };
        let header = message.header();
        let interface = header.interface().map(|name| name.as_str());
        let member = header.member().map(|member| member.as_str()).unwrap_or_default();
        if let Err(refused) = policy::check(client.caller.access, interface, member) {
            if let Refused::NotGranted { .. } = refused {
                log::warn!("{}: {refused}", client.caller.place);
            }
            let (name, text) = (refused.error_name(), refused.to_string());
            return self.reply_error(id, message, name, &text);
        }
        if expects_reply(message) {
            if client.calls.len() >= MOST_CALLS {
                let text = format!("at most {MOST_CALLS} calls may wait for their answers; wait for some first");
                return self.reply_error(id, message, "org.freedesktop.DBus.Error.LimitsExceeded", &text);
            }
            client.calls.push(message.primary_header().serial_num().get());
        }
        Ok(vec![Effect::Call(message.clone())])
    }

    /// A message of our objects: an answer, or a signal.
    pub fn from_service(&mut self, message: &Message) -> Vec<Effect> {
        let sent = SERVICE.try_into();
        match sent.and_then(|name| message.with_sender(&name)) {
            Ok(message) => self.deliver(message),
            Err(error) => {
                log::error!("a message of our own cannot be sent: {error}");
                Vec::new()
            }
        }
    }

    fn deliver(&mut self, message: Message) -> Vec<Effect> {
        let mut effects = self.copies(&message);
        let header = message.header();
        let Some(destination) = header.destination().map(|name| name.as_str()) else {
            effects.extend(self.broadcast(&message));
            return effects;
        };
        let addressed = self.clients.iter_mut().find(|(_, client)| client.name == destination);
        if let Some((id, client)) = addressed.filter(|(_, client)| !client.monitor) {
            if let Some(serial) = header.reply_serial() {
                client.calls.retain(|waiting| *waiting != serial.get());
            }
            effects.push(Effect::Send(*id, message.clone()));
        }
        effects
    }

    fn broadcast(&self, message: &Message) -> Vec<Effect> {
        let wants = |client: &Client| !client.monitor && client.rules.iter().any(|rule| matches(rule, message));
        let wanting = self.clients.iter().filter(|(_, client)| wants(client));
        wanting.map(|(id, _)| Effect::Send(*id, message.clone())).collect()
    }

    /// One for each monitor that is interested.
    pub(crate) fn copies(&self, message: &Message) -> Vec<Effect> {
        let wants = |client: &Client| {
            client.monitor && (client.rules.is_empty() || client.rules.iter().any(|rule| matches(rule, message)))
        };
        let watching = self.clients.iter().filter(|(_, client)| wants(client));
        watching.map(|(id, _)| Effect::Send(*id, message.clone())).collect()
    }

    /// An answer of the bus, unless the caller wants none, and copies of it.
    pub(crate) fn answer(&self, id: ClientId, call: &Message, reply: &Message) -> Vec<Effect> {
        let mut effects = self.copies(reply);
        if expects_reply(call) {
            effects.push(Effect::Send(id, reply.clone()));
        }
        effects
    }

    pub(crate) fn reply_error(
        &self,
        id: ClientId,
        call: &Message,
        name: &str,
        text: &str,
    ) -> zbus::Result<Vec<Effect>> {
        let reply = Message::error(&call.header(), name).sender(BUS).build(&text)?;
        Ok(self.answer(id, call, &reply))
    }
}

impl Client {
    pub(crate) fn add_rule(&mut self, rule: OwnedMatchRule) -> Result<(), TooMany> {
        if self.rules.len() >= MOST_RULES {
            let (most, what) = (MOST_RULES, "match rules of one connection");
            return Err(TooMany { most, what });
        }
        self.rules.push(rule);
        Ok(())
    }

    /// Whether there was such a rule.
    pub(crate) fn remove_rule(&mut self, rule: &OwnedMatchRule) -> bool {
        let found = self.rules.iter().position(|known| known == rule);
        found.map(|place| self.rules.swap_remove(place)).is_some()
    }

    /// From now on it only listens.
    pub(crate) fn become_monitor(&mut self, rules: Vec<OwnedMatchRule>) {
        self.monitor = true;
        self.rules = rules;
        self.calls.clear();
    }
}

fn expects_reply(call: &Message) -> bool {
    !call.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED)
}

/// Our names stand for our connection; nobody has any other name.
fn matches(rule: &OwnedMatchRule, message: &Message) -> bool {
    let rule: &MatchRule<'_> = rule.inner();
    let header = message.header();
    let sender = header.sender().map(|name| name.as_str());
    let from = match rule.sender().map(|name| name.as_str()) {
        Some(BUS) => sender == Some(BUS),
        Some(name) if NAMES.contains(&name) => sender == Some(SERVICE),
        Some(name) => sender == Some(name),
        None => true,
    };
    from && rule.matches(message).unwrap_or(false)
}

#[cfg(test)]
#[path = "router_test.rs"]
mod tests;
