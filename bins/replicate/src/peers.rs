//! The ways to the other copies: one TCP connection each, opened by the node that comes first in the alphabet of ids, sealed.

use crate::buffer::Shared;
use crate::engine::News;
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

/// What is to be sent: a head, and data that goes as it is.
pub struct Parcel(Vec<u8>, Option<Shared>);

impl Parcel {
    pub fn to_replica(message: &ToReplica, bytes: Option<Shared>) -> Parcel {
        Parcel(encode_to_replica(message, bytes.as_ref().map_or(&[], |bytes| bytes.bytes())), bytes)
    }

    pub fn to_primary(message: &ToPrimary) -> Parcel {
        Parcel(encode_to_primary(message), None)
    }
}

/// A session's sending end; hung up when it is dropped.
pub struct Line {
    parcels: Sender<Parcel>,
    socket: TcpStream,
}

impl Line {
    pub fn send(&self, parcel: Parcel) {
        let _ = self.parcels.send(parcel); // a line that is gone says so by itself
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
    pub extents: usize,
    pub port: u16,
    pub me: NodeId,
    pub peers: BTreeMap<NodeId, (PublicKey, Vec<IpAddr>)>,
    pub news: Sender<News>,
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
                Ok(greeted) => run(&party, socket, greeted),
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
    run(party, socket, (peer, seal, unseal, Vec::new()));
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

/// A session, until it ends.
fn run(party: &Party, socket: TcpStream, (peer, seal, unseal, first): Greeted) {
    let session = party.sessions.fetch_add(1, Ordering::Relaxed);
    let (parcels, outgoing) = channel::<Parcel>();
    let ends = socket.set_read_timeout(None).and_then(|()| Ok((socket.try_clone()?, socket.try_clone()?)));
    let Ok((writer, closer)) = ends else { return };
    let spawned = std::thread::Builder::new().name("to-peer".into()).spawn(move || {
        if let Err(error) = send_all(&outgoing, seal, &writer) {
            tracing::debug!("to a peer: {error}");
        }
        let _ = writer.shutdown(std::net::Shutdown::Both);
    });
    if spawned.is_err() {
        return;
    }
    let line = Line { parcels, socket: closer };
    if party.news.send(News::Connected { peer, session, line }).is_err() {
        return;
    }
    if let Err(error) = receive_all(party, peer, session, (&socket, unseal, first)) {
        tracing::info!("the connection to a copy ended: {error}");
    }
    let _ = party.news.send(News::Disconnected { peer, session });
}

fn send_all(outgoing: &std::sync::mpsc::Receiver<Parcel>, mut seal: Seal, mut socket: &TcpStream) -> io::Result<()> {
    let mut sealed = Vec::new();
    while let Ok(parcel) = outgoing.recv() {
        sealed.clear();
        let mut next = Some(parcel);
        // What has come up meanwhile goes along: one call for many messages.
        while let Some(Parcel(head, bytes)) = next {
            seal.seal(&head, &mut sealed);
            if let Some(bytes) = bytes {
                seal.seal(bytes.bytes(), &mut sealed);
            }
            next = (sealed.len() < 1 << 20).then(|| outgoing.try_recv().ok()).flatten();
        }
        socket.write_all(&sealed)?;
    }
    Ok(())
}

fn receive_all(
    party: &Party,
    peer: NodeId,
    session: u64,
    (socket, mut unseal, mut plain): (&TcpStream, Unseal, Vec<u8>),
) -> io::Result<()> {
    let mut socket = io::BufReader::with_capacity(1 << 18, socket);
    loop {
        while let Some(length) = plain.first_chunk::<4>().map(|head| u32::from_be_bytes(*head) as usize) {
            if length > MESSAGE_MAX {
                return Err(io::Error::other(format!("a message of {length} bytes")));
            }
            if plain.len() < 4 + length {
                break;
            }
            let message = decode(&plain[4..4 + length], party.extents).map_err(io::Error::other)?;
            plain.drain(..4 + length);
            let news = match message {
                Message::ToReplica(message, bytes) => News::FromPrimary { peer, session, message, bytes },
                Message::ToPrimary(message) => News::FromReplica { peer, session, message },
            };
            party.news.send(news).map_err(io::Error::other)?;
        }
        let record = framed(&mut socket)?;
        unseal.open(&record, &mut plain).map_err(io::Error::other)?;
    }
}
