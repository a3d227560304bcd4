//! The ways to the other copies: one TCP connection each, opened by the node that comes first in the alphabet of ids, sealed.

use crate::buffer::Shared;
use crate::engine::News;
use crate::sockets::{Inbox, Outbox, Poll, Post};
use hotspare_core::NodeId;
use hotspare_volume::{ToPrimary, ToReplica};
use hotspare_wire::stream::{self, CALL_HEAD, Call, Seal, Unseal};
use hotspare_wire::volume::{MESSAGE_MAX, Message, decode, encode_to_primary, encode_to_replica};
use hotspare_wire::{Cluster, Key, PublicKey};
use socket2::{SockRef, TcpKeepalive};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a call may take, and how long a peer may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two calls.
const CALL_EVERY: Duration = Duration::from_millis(200);
/// Connections of strangers at a time.
const STRANGERS_MAX: usize = 16;

/// A session past its greeting, in the engine's loop; hung up when it is dropped.
pub struct Line {
    socket: TcpStream,
    seal: Seal,
    unseal: Unseal,
    inbox: Inbox,
    /// What was unsealed and is no whole message yet.
    plain: Vec<u8>,
    out: Outbox,
    writes: bool,
    /// Whoever called waits for the end of it.
    _call: Option<Sender<()>>,
}

impl Line {
    /// # Errors
    /// If it cannot be waited for.
    pub fn watch(&self, poll: &Poll, number: u64) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        poll.add(&self.socket, number)
    }

    pub fn tell_replica(&mut self, message: &ToReplica, bytes: Option<&Shared>) {
        let bytes = bytes.map_or([].as_slice(), |bytes| bytes.bytes());
        let head = encode_to_replica(message, bytes);
        self.seal.seal(&head, self.out.end());
        self.seal.seal(bytes, self.out.end());
    }

    pub fn tell_primary(&mut self, message: &ToPrimary) {
        self.seal.seal(&encode_to_primary(message), self.out.end());
    }

    /// Takes in what has come: its messages go to `take`, in order. As much as fits the inbox at a time: others want to be heard, too.
    ///
    /// # Errors
    /// If the session has ended, or makes no sense.
    pub fn read(&mut self, extents: usize, mut take: impl FnMut(Message<'_>)) -> io::Result<()> {
        self.inbox.fill(&mut self.socket)?;
        while let Some((length, rest)) = self.inbox.rest().split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(record) = rest.get(..length) else { break };
            self.unseal.open(record, &mut self.plain).map_err(io::Error::other)?;
            self.inbox.skip(2 + length);
        }
        self.messages(extents, &mut take)
    }

    fn messages(&mut self, extents: usize, take: &mut impl FnMut(Message<'_>)) -> io::Result<()> {
        let mut rest = self.plain.as_slice();
        while let Some((length, more)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > MESSAGE_MAX {
                return Err(io::Error::other(format!("a message of {length} bytes")));
            }
            let Some(message) = more.get(..length) else { break };
            take(decode(message, extents).map_err(io::Error::other)?);
            rest = &more[length..];
        }
        let taken = self.plain.len() - rest.len();
        self.plain.drain(..taken);
        Ok(())
    }

    /// Lets go what goes.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn flush(&mut self, poll: &Poll, number: u64) -> io::Result<()> {
        self.out.flush(&mut self.socket)?;
        let writes = !self.out.is_empty();
        if std::mem::replace(&mut self.writes, writes) != writes {
            poll.change(&self.socket, number, (true, writes))?;
        }
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Who we are, and who the others are.
pub struct Party {
    pub key: Key,
    pub cluster: Cluster,
    pub volume: u64,
    pub port: u16,
    pub me: NodeId,
    pub peers: BTreeMap<NodeId, (PublicKey, Vec<IpAddr>)>,
    pub post: Post<News>,
    pub sessions: AtomicU64,
}

/// Listens and calls, in threads of their own.
///
/// # Errors
/// If the port is taken.
pub fn start(party: Arc<Party>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, party.port))
        .or_else(|_| TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, party.port)))?;
    for (peer, (key, links)) in party.peers.clone() {
        if party.me < peer {
            let party = party.clone();
            std::thread::Builder::new().name("caller".into()).spawn(move || {
                let mut last = String::new();
                loop {
                    for link in &links {
                        let to = SocketAddr::new(*link, party.port);
                        if let Err(error) = call(&party, peer, &key, to) {
                            tell_once(&mut last, format!("no way to the copy at {to}: {error}"));
                        }
                    }
                    std::thread::sleep(CALL_EVERY);
                }
            })?;
        }
    }
    std::thread::Builder::new().name("listener".into()).spawn(move || listen(&listener, &party))?;
    Ok(())
}

fn listen(listener: &TcpListener, party: &Arc<Party>) {
    let (strangers, last) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(String::new())));
    for socket in listener.incoming().flatten() {
        if strangers.load(Ordering::Acquire) >= STRANGERS_MAX as u64 {
            continue; // hung up on
        }
        strangers.fetch_add(1, Ordering::AcqRel);
        let (party, count, last) = (party.clone(), strangers.clone(), last.clone());
        let spawned = std::thread::Builder::new().name("peer".into()).spawn(move || {
            let greeted = answer(&party, &socket);
            count.fetch_sub(1, Ordering::AcqRel);
            match greeted {
                Ok(greeted) => drop(hand_over(&party, socket, greeted, None)),
                Err(error) => {
                    let from = socket.peer_addr().map_or("somebody".into(), |address| address.ip().to_string());
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    tell_once(&mut last, format!("a connection from {from} was turned away: {error}"));
                }
            }
        });
        if spawned.is_err() {
            strangers.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The same thing again is no news.
fn tell_once(last: &mut String, what: String) {
    if *last != what {
        tracing::warn!("{what}");
        *last = what;
    }
}

fn settle(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_user_timeout(Some(PATIENCE))?;
    // In whole seconds; the kernel knows no shorter ones.
    let second = Duration::from_secs(1);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(second).with_interval(second).with_retries(2))
}

fn call(party: &Arc<Party>, peer: NodeId, key: &PublicKey, to: SocketAddr) -> io::Result<()> {
    let socket = TcpStream::connect_timeout(&to, PATIENCE)?;
    settle(&socket)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (call, first): (Call, _) =
        stream::call(&party.key, &party.cluster, key, party.volume).map_err(io::Error::other)?;
    (&socket).write_all(&first)?;
    let noise = framed(&mut &socket)?;
    let (mut seal, unseal) = call.answered(&noise).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    seal.seal(&[0], &mut hello); // whoever was called believes us with the first record
    (&socket).write_all(&hello)?;
    let (call, ended) = channel();
    hand_over(party, socket, (peer, seal, unseal, Vec::new()), Some(call))?;
    let _ = ended.recv(); // nothing is said: it hangs up
    Ok(())
}

type Greeted = (NodeId, Seal, Unseal, Vec<u8>);

fn answer(party: &Party, socket: &TcpStream) -> io::Result<Greeted> {
    settle(socket)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut head = [0; CALL_HEAD];
    (&*socket).read_exact(&mut head)?;
    let (volume, length) = stream::called(&party.cluster, &head).map_err(io::Error::other)?;
    if volume != party.volume || length > 256 {
        return Err(io::Error::other("it is about another volume"));
    }
    let mut noise = vec![0; length];
    (&*socket).read_exact(&mut noise)?;
    let (key, second, seal, mut unseal) =
        stream::answer(&party.key, &party.cluster, volume, &noise).map_err(io::Error::other)?;
    let peer = party.peers.iter().find(|(_, (known, _))| *known == key).map(|(peer, _)| *peer);
    let peer = peer.ok_or_else(|| io::Error::other("it is no candidate of this group"))?;
    (&*socket).write_all(&second)?;
    let mut first = Vec::new();
    unseal.open(&framed(&mut &*socket)?, &mut first).map_err(io::Error::other)?;
    Ok((peer, seal, unseal, first.split_off(1.min(first.len()))))
}

/// Bytes that follow their two-byte length.
fn framed(wire: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    wire.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    wire.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Hands a session to the engine's loop.
fn hand_over(party: &Party, socket: TcpStream, greeted: Greeted, call: Option<Sender<()>>) -> io::Result<()> {
    let (peer, seal, unseal, plain) = greeted;
    socket.set_read_timeout(None)?;
    let session = party.sessions.fetch_add(1, Ordering::Relaxed);
    let (inbox, out) = (Inbox::new(), Outbox::default());
    let line = Line { socket, seal, unseal, inbox, plain, out, writes: false, _call: call };
    party.post.send(News::Connected { peer, session, line: Box::new(line) })
}
