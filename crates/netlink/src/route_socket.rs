//! The rtnetlink socket that the link, address, route and neighbour requests hang on.

use crate::message::Message;
use crate::socket::{Family, Socket};
use crate::{Error, netns};
use rustix::fd::{AsFd, BorrowedFd};

/// A socket for links, addresses, routes and neighbours of one network namespace.
#[derive(Debug)]
pub struct RouteSocket(Socket);

impl RouteSocket {
    /// Opens a socket for the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        Socket::open(Family::Route).map(Self)
    }

    /// Opens a socket for the network namespace `namespace` refers to. The calling thread stays
    /// where it is; the socket may be used from anywhere.
    ///
    /// # Errors
    /// [`Error::Namespace`], [`Error::Open`].
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self, Error> {
        netns::run_in(namespace, Self::open)?
    }

    /// Carries out several changes in one system call, in order; see [`Socket::run_all`].
    ///
    /// # Errors
    /// The first refusal.
    pub fn run_all(&mut self, messages: &[Message]) -> Result<(), Error> {
        self.0.run_all(messages)
    }

    pub(crate) fn run(&mut self, message: &Message) -> Result<(), Error> {
        self.0.run(message)
    }

    pub(crate) fn query<T>(
        &mut self,
        message: &Message,
        read: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.0.query(message, read)
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
