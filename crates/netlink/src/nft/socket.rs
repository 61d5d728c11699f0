//! The nftables socket: commit transactions, ask what is there.

use super::batch::{self, Batch};
use super::set::{self, Entry};
use super::{Family, uapi};
use crate::message::{Message, flags};
use crate::socket::{Family as SocketFamily, Socket};
use crate::{Error, netns, wire};
use rustix::fd::BorrowedFd;

const TABLE_NAME: u16 = 1;
/// Resource number of nftables in the messages around a transaction.
const RESOURCE: u16 = 10;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;

/// A socket for the nftables of one network namespace.
#[derive(Debug)]
pub struct NftSocket(Socket);

impl NftSocket {
    /// Opens a socket for the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        Socket::open(SocketFamily::Netfilter).map(Self)
    }

    /// Opens a socket for the network namespace `namespace` refers to; see
    /// [`crate::RouteSocket::open_in`].
    ///
    /// # Errors
    /// [`Error::Namespace`], [`Error::Open`].
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self, Error> {
        netns::run_in(namespace, Self::open)?
    }

    /// Applies a transaction, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Refused`] naming the first message the kernel did not like.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        let header = batch::header(0, RESOURCE);
        let begin = Message::new(uapi::BATCH_BEGIN, 0, "begin", &header);
        let end = Message::new(uapi::BATCH_END, 0, "end", &header);
        self.0.run_batch(&begin, batch.messages(), &end)
    }

    /// Names of the tables of a family.
    ///
    /// # Errors
    /// As [`Socket::query`].
    pub fn tables(&mut self, family: Family) -> Result<Vec<String>, Error> {
        let kind = uapi::SUBSYSTEM | uapi::msg::GETTABLE;
        let header = batch::header(family as u8, 0);
        let message = Message::new(kind, flags::DUMP, "list tables", &header);
        self.0.query(&message, |_, body| {
            let name = wire::attributes(body.get(4..)?).find(TABLE_NAME)?;
            name.as_text().map(str::to_owned)
        })
    }

    /// Elements of a set or map.
    ///
    /// # Errors
    /// As [`Socket::query`].
    pub fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Vec<Entry>, Error> {
        let kind = uapi::SUBSYSTEM | uapi::msg::GETSETELEM;
        let what = format!("list set {set}");
        let header = batch::header(family as u8, 0);
        let mut message = Message::new(kind, flags::DUMP, what, &header);
        message.body.text(LIST_TABLE, table).text(LIST_SET, set);
        let lists = self.0.query(&message, |_, body| Some(set::parse_elements(body)))?;
        Ok(lists.concat())
    }
}
