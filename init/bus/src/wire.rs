//! Messages off a stream of bytes: none longer than allowed, none with descriptors, each checked as a whole before anything
//! looks into it.

use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncRead, AsyncReadExt};
use zbus::Message;
use zbus::connection::socket::ReadHalf;
use zbus::export::async_trait::async_trait;

use crate::bound::Bound;

/// The stream.
#[derive(Debug)]
pub struct Wire<R> {
    read: R,
    /// Read before, with what was said before the first message.
    early: Vec<u8>,
    bound: Bound,
    number: u64,
}

impl<R: AsyncRead + Unpin + Debug + Send + Sync + 'static> Wire<R> {
    /// What was read `early`, and then what can be read.
    pub fn new(read: R, early: Vec<u8>) -> Self {
        Wire {
            read,
            early,
            bound: Bound::default(),
            number: 0,
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// The stream ends, or does not hold a message; nothing can be read after that.
    pub async fn next(&mut self) -> zbus::Result<Message> {
        self.number += 1;
        let number = self.number;
        let message = self.receive_message(number, &mut Vec::new(), &mut Vec::new()).await?;
        message.body().validate()?;
        Ok(message)
    }
}

#[async_trait]
impl<R: AsyncRead + Unpin + Debug + Send + Sync + 'static> ReadHalf for Wire<R> {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let length = if self.early.is_empty() {
            self.read.read(buffer).await?
        } else {
            let length = self.early.len().min(buffer.len());
            for (place, byte) in buffer.iter_mut().zip(self.early.drain(..length)) {
                *place = byte;
            }
            length
        };
        let read = buffer.get(..length).unwrap_or_default();
        self.bound.advance(read).map_err(io::Error::other)?;
        Ok((length, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn call(text: &str) -> Vec<u8> {
        let message = Message::method_call("/", "M").destination("a.b").build(&text).unwrap();
        message.data().to_vec()
    }

    #[tokio::test]
    async fn messages_come_one_by_one_until_one_is_too_long() {
        let (first, second, long) = (call("one"), call("two"), call(&"x".repeat(20_000)));
        let early = first[..30].to_vec();
        let later = [&first[30..], &second, &long].concat();
        let mut wire = Wire::new(Cursor::new(later), early);
        for text in ["one", "two"] {
            let message = wire.next().await.unwrap();
            let body = message.body();
            assert_eq!(body.deserialize::<&str>().unwrap(), text);
        }
        let error = wire.next().await.unwrap_err().to_string();
        assert!(error.contains("at most 16384"), "{error}");
    }

    #[tokio::test]
    async fn a_body_that_does_not_hold_what_it_says_is_refused() {
        let mut bytes = call("text");
        let length = bytes.len();
        // The length of the string, beyond the body.
        bytes[length - 9] = 200;
        assert!(Wire::new(Cursor::new(bytes), Vec::new()).next().await.is_err());
        let cut = call("text")[..20].to_vec();
        assert!(Wire::new(Cursor::new(cut), Vec::new()).next().await.is_err());
    }
}
