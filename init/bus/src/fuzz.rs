//! Entry points for fuzzing: any bytes may come in, errors are fine, panics are bugs.

use std::io::Cursor;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use keelson_image_layout::BusAccess;
use zbus::Message;

use crate::access::{Caller, Place};
use crate::bound::Bound;
use crate::handshake::Handshake;
use crate::router::{Effect, Router};
use crate::wire::Wire;

/// What a client says before its first message, and the lengths of the messages after it.
pub fn fuzz_bus_stream(data: &[u8]) {
    let mut handshake = Handshake::new("00", data.first() != Some(&1));
    let mut input = data.to_vec();
    if handshake.take(&mut input).is_ok() && handshake.is_done() {
        let _ = Bound::default().advance(&input);
    }
    let _ = Bound::default().advance(data);
}

/// Messages of a client as they come off the wire, through the broker.
pub fn fuzz_bus_message(data: &[u8]) {
    let mut router = Router::new("00");
    let caller = Caller {
        access: BusAccess::Operate,
        place: Place::Machine,
    };
    let Ok(id) = router.add(caller) else { return };
    if let Some(client) = router.client(id) {
        client.greeted = true;
    }
    let mut wire = Wire::new(Cursor::new(data.to_vec()), Vec::new());
    let mut context = Context::from_waker(Waker::noop());
    loop {
        // Memory is always ready.
        let Poll::Ready(Ok(message)) = pin!(wire.next()).poll(&mut context) else {
            return;
        };
        for effect in router.from_client(id, &message) {
            if let Effect::Call(call) = effect {
                let reply = Message::method_return(&call.header()).build(&());
                let _ = reply.map(|reply| router.from_service(&reply));
            }
        }
    }
}
