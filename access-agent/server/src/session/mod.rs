//! One connection: who is at the other end, and what is asked on its channels.

mod channel;
mod handler;
mod output;
mod serve;

use std::net::IpAddr;
use std::sync::Arc;

use keelson_access::command::Role;
use russh::Channel;
use russh::ChannelId;
use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::server::{Msg, Session};
use thiserror::Error;
use tokio::net::UnixStream;

use crate::accounts::{Accounts, Refusal};
use crate::inflow::CreditIgnored;
use crate::login::Login;
use crate::request::{ENGINE_IS_FOR_OPERATORS, Plan, is_engine_socket};
use crate::server::Places;
use channel::Channels;
use serve::{Service, join_socket};

const TOO_MANY: &str = "too many channels on this connection";
/// Longest text from outside that is logged, in characters.
const LONGEST: usize = 200;

/// Why a connection is given up.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The protocol, or the network.
    #[error(transparent)]
    Protocol(#[from] russh::Error),
    /// More was sent than was allowed.
    #[error("the client sends more than it has credit for")]
    CreditIgnored,
}

impl From<CreditIgnored> for SessionError {
    fn from(CreditIgnored: CreditIgnored) -> Self {
        Self::CreditIgnored
    }
}

/// Somebody who is logged in.
#[derive(Debug, Clone)]
struct Person {
    user: String,
    role: Role,
}

/// The server's side of a connection.
#[derive(Debug)]
pub struct Connection {
    address: IpAddr,
    accounts: Arc<Accounts>,
    places: Places,
    login: Arc<Login>,
    person: Option<Person>,
    channels: Channels,
}

impl Connection {
    /// A connection from `address`, not logged in.
    #[must_use]
    pub fn new(address: IpAddr, accounts: Arc<Accounts>, places: Places, login: Arc<Login>) -> Self {
        Self {
            address,
            accounts,
            places,
            login,
            person: None,
            channels: Channels::default(),
        }
    }

    fn judge(&self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Result<Role, Refusal> {
        let judged = self.accounts.judge(user, key.key_data(), algorithm);
        if let Err(reason) = judged {
            self.refuse(user, &reason.to_string(), &fingerprint(key));
        }
        judged
    }

    /// Logs a refusal and counts it.
    fn refuse(&self, user: &str, reason: &str, key: &str) {
        self.login.refuse();
        log::warn!(
            user = shown(user).as_str(), address:% = self.address, key = key, reason = reason; "login refused"
        );
    }

    fn enter(&mut self, user: &str, role: Role, key: &PublicKey) {
        let key = fingerprint(key);
        log::info!(user = user, address:% = self.address, key = key.as_str(), role:?; "login");
        self.login.welcome();
        let user = user.to_owned();
        self.person = Some(Person { user, role });
    }

    fn role(&self) -> Role {
        self.person.as_ref().map_or(Role::Reader, |person| person.role)
    }

    fn log_request(&self, asked: &str) {
        let user = self.person.as_ref().map_or("", |person| &person.user);
        log::info!(user = user, address:% = self.address, asked = shown(asked).as_str(); "request");
    }

    fn log_refused_request(&self, asked: &str, reason: &str) {
        let user = self.person.as_ref().map_or("", |person| &person.user);
        log::warn!(
            user = user, address:% = self.address, asked = shown(asked).as_str(), reason = reason; "request refused"
        );
    }

    /// Carries out a plan on a channel that nothing runs on yet.
    fn start(&mut self, id: ChannelId, asked: &str, plan: Plan, session: &mut Session) -> Result<(), russh::Error> {
        match &plan {
            Plan::Refuse { message, .. } => self.log_refused_request(asked, message.trim_end()),
            _ => self.log_request(asked),
        }
        let open = self.channels.get(id);
        let (Some(person), Some(open)) = (&self.person, open) else {
            return session.channel_failure(id);
        };
        let Some(parts) = open.take_parts() else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let service = Service {
            output: parts.output,
            inflow: parts.inflow,
            signals: parts.signals,
            places: self.places.clone(),
            user: person.user.clone(),
        };
        open.keep(tokio::spawn(service.carry_out(plan)));
        Ok(())
    }

    /// Joins a forwarded connection with the engine's socket, if that is what it is for.
    async fn forward(&mut self, channel: Channel<Msg>, path: &str) -> Result<(), String> {
        if !is_engine_socket(path) {
            return Err("only /run/docker.sock can be reached from here".to_owned());
        }
        if self.role() != Role::Operator {
            return Err(ENGINE_IS_FOR_OPERATORS.to_owned());
        }
        let engine = UnixStream::connect(&self.places.engine).await;
        let engine = engine.map_err(|error| format!("the container engine does not answer: {error}"))?;
        let open = self.channels.add(channel).ok_or(TOO_MANY)?;
        let parts = open.take_parts().ok_or(TOO_MANY)?;
        open.keep(tokio::spawn(async move {
            join_socket(engine, &parts.inflow, &parts.output).await;
            parts.output.finish(None).await;
        }));
        Ok(())
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Text from outside, bounded.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
