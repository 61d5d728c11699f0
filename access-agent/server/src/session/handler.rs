//! What the protocol asks of a connection.

use russh::keys::Certificate;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use rustix::process::Signal;

use super::channel::known_signal;
use super::{Connection, SessionError, TOO_MANY, shown};
use crate::algorithms::WINDOW;
use crate::request::{plan_exec, plan_shell, plan_subsystem};

/// The credit of a client while a reader is behind: enough for the connection to hear from it again.
const TRICKLE: u32 = 2;
/// Code of a refused channel: administratively prohibited (RFC 4254 section 5.1).
const PROHIBITED: u32 = 1;

type Done = Result<(), SessionError>;
type Answer = Result<Auth, SessionError>;

fn prohibited(reason: String) -> ChannelOpenFailure {
    let code = PROHIBITED;
    ChannelOpenFailure::Other { code, reason }
}

impl Handler for Connection {
    type Error = SessionError;

    /// Every client asks so first what it may try; one that then leaves is told of in the log.
    async fn auth_none(&mut self, user: &str) -> Answer {
        self.login.ask(shown(user));
        Ok(Auth::reject())
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Answer {
        match self.judge(user, offer.public_key, offer.algorithm) {
            Ok(_) => Ok(Auth::Accept),
            Err(_) => Ok(Auth::reject()),
        }
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Answer {
        let Ok(role) = self.judge(user, key.public_key, key.algorithm) else {
            return Ok(Auth::reject());
        };
        self.enter(user, role, key.public_key);
        Ok(Auth::Accept)
    }

    async fn auth_password(&mut self, user: &str, _: &str) -> Answer {
        self.refuse(user, "passwords are not accepted", "");
        Ok(Auth::reject())
    }

    async fn auth_keyboard_interactive<'a>(&'a mut self, user: &str, _: &str, _: Option<Response<'a>>) -> Answer {
        self.refuse(user, "only keys are accepted", "");
        Ok(Auth::reject())
    }

    async fn auth_openssh_certificate(&mut self, user: &str, _: &Certificate) -> Answer {
        self.refuse(user, "certificates are not accepted", "");
        Ok(Auth::reject())
    }

    async fn channel_open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Done {
        match self.channels.add(channel) {
            Some(_) => reply.accept().await,
            None => reply.reject(prohibited(TOO_MANY.to_owned())).await,
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Done {
        let asked = format!("forward to {path}");
        match self.forward(channel, path).await {
            Ok(()) => {
                self.log_request(&asked);
                reply.accept().await;
            }
            Err(reason) => {
                self.log_refused_request(&asked, &reason);
                reply.reject(prohibited(reason)).await;
            }
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Done {
        let reason = "ports are not forwarded: publish the container's port instead";
        self.log_refused_request(&format!("forward to {host}:{port}"), reason);
        reply.reject(prohibited(reason.to_owned())).await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Done {
        if let Some(open) = self.channels.get(id) {
            open.line.get_or_insert_default();
        }
        Ok(session.channel_success(id)?)
    }

    async fn x11_request(&mut self, id: ChannelId, _: bool, _: &str, _: &str, _: u32, session: &mut Session) -> Done {
        Ok(session.channel_failure(id)?)
    }

    async fn env_request(&mut self, id: ChannelId, _: &str, _: &str, session: &mut Session) -> Done {
        Ok(session.channel_failure(id)?)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Done {
        let plan = plan_shell(self.role());
        Ok(self.start(id, "", plan, session)?)
    }

    async fn exec_request(&mut self, id: ChannelId, line: &[u8], session: &mut Session) -> Done {
        let plan = plan_exec(line, self.role());
        Ok(self.start(id, &String::from_utf8_lossy(line), plan, session)?)
    }

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, session: &mut Session) -> Done {
        Ok(self.start(id, name, plan_subsystem(name), session)?)
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _: &mut Session) -> Done {
        if let (Some(open), Some(signal)) = (self.channels.get(id), known_signal(&signal)) {
            open.signal(signal);
        }
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Done {
        let Some(open) = self.channels.get(id) else {
            return Ok(());
        };
        let Some(line) = &mut open.line else {
            return Ok(open.inflow.push(data).await?);
        };
        let typed = line.type_bytes(data);
        if typed.interrupt {
            open.signal(Signal::INT);
        }
        open.inflow.push(&typed.input).await?;
        if typed.end {
            open.inflow.end();
        }
        if !typed.echo.is_empty() {
            session.data(id, typed.echo)?;
        }
        Ok(())
    }

    /// Called whenever the client has been given new credit: how much it gets the next time.
    fn adjust_window(&mut self, _: ChannelId, _: u32) -> u32 {
        if self.channels.any_is_long() { TRICKLE } else { WINDOW }
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Done {
        if let Some(open) = self.channels.get(id) {
            open.inflow.end();
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Done {
        self.channels.remove(id);
        Ok(())
    }
}
