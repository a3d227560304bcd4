//! Sessions between nodes: `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s`, one identity per node, no other mode.
//!
//! Either side may initiate. A session counts only once its peer has *used* it (an initiator by the answer, a responder
//! by the first data packet), so a replayed first message changes nothing. Data packets carry a counter and pass a
//! replay window once. A session ends after [`LIFE`]; half-way a fresh one takes over (forward secrecy).
//!
//! What an unauthenticated datagram can cost is one keyed hash: the `mac` at the end of a first message is made with
//! the receiver's public key, which an outsider does not know.

use crate::replay::ReplayWindow;
use crate::{DATAGRAM_MAX, VERSION};
use blake2::digest::{FixedOutput, Mac, Update};
use blake2::{Blake2s256, Blake2sMac, Digest, digest::consts::U16};
use hotspare_core::NodeId;
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

pub(crate) const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// Nothing is accepted under a session that is older than this.
pub const LIFE: Duration = Duration::from_secs(120);
/// After this the side that opened the session opens another.
const REKEY: Duration = Duration::from_secs(60);
/// A first message that is not answered is sent again after this, as it is: whoever is slow to answer has to work for one only, and its
/// answer counts whenever it comes.
const RETRY: Duration = Duration::from_millis(250);
/// Instead of one that is so old another one is made: what it opens must live until it is renewed.
const OPENING_LIFE: Duration = Duration::from_secs(15);
/// Messages that wait for a session; older ones go first, since every sender repeats what matters.
const QUEUE_MAX: usize = 16;

/// A private key (X25519).
#[derive(Clone)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A public key: the identity of a node.
pub type PublicKey = [u8; 32];

impl Key {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Key {
        let pair =
            Builder::new(PATTERN.parse().expect("a valid pattern")).generate_keypair().expect("the kernel has entropy");
        Key(pair.private.try_into().expect("32 bytes"))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        use snow::resolvers::{CryptoResolver, DefaultResolver};
        let mut curve = DefaultResolver.resolve_dh(&snow::params::DHChoice::Curve25519).expect("built in");
        curve.set(&self.0);
        curve.pubkey().try_into().expect("32 bytes")
    }
}

/// Which daemon a session belongs to: packets for one mean nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Heartbeat = 1,
    /// Between lease clients.
    Lease = 2,
    /// Between a lease client and an arbiter.
    Vote = 3,
    /// Between two arbiters.
    Fellow = 4,
}

/// What all nodes of a cluster share.
#[derive(Clone)]
pub struct Cluster {
    tag: [u8; 8],
    psk: [u8; 32],
}

impl Cluster {
    /// The cluster called `name`. Mixed into every handshake are `secret`, if there is one, and `era`, how often an operator has
    /// declared nodes lost: who does not know of that is not heard by those who do (decision 0015).
    #[must_use]
    pub fn new(name: &str, secret: &[u8], era: u32) -> Cluster {
        let digest = |label: &str, more: &[u8]| -> [u8; 32] {
            let mut hash = Blake2s256::new();
            for part in [label.as_bytes(), &[0], name.as_bytes(), &[0], more] {
                Digest::update(&mut hash, part);
            }
            hash.finalize().into()
        };
        let tag = *digest("hotspare cluster tag", &[]).first_chunk().expect("longer");
        Cluster { tag, psk: digest("hotspare psk", &[&era.to_be_bytes(), secret].concat()) }
    }

    pub(crate) fn tag(&self) -> &[u8; 8] {
        &self.tag
    }

    pub(crate) fn psk(&self) -> &[u8; 32] {
        &self.psk
    }
}

struct Session {
    transport: StatelessTransportState,
    remote: u32,
    next_counter: u64,
    replay: ReplayWindow,
    born: Duration,
    opened_here: bool,
}

struct Opening {
    state: HandshakeState,
    local: u32,
    datagram: Vec<u8>,
    born: Duration,
    sent: Duration,
}

#[derive(Default)]
struct Peer {
    public: PublicKey,
    opening: Option<Opening>,
    /// Indices of the session to send with, of the one before, and of one that the peer has opened but not used yet.
    current: Option<u32>,
    previous: Option<u32>,
    offered: Option<u32>,
    /// The last first message it sent (its ephemeral key) and our answer: copies come in over every link.
    answered: Option<(Vec<u8>, Vec<u8>)>,
    queue: VecDeque<Vec<u8>>,
    heard: Option<Duration>,
    /// The first message sent since the peer was heard last.
    unanswered_since: Option<Duration>,
}

/// What a datagram brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// A message, and the node that sent it beyond doubt.
    pub message: Option<(NodeId, Vec<u8>)>,
    /// Datagrams to send in answer, each to all addresses of its node.
    pub send: Vec<(NodeId, Vec<u8>)>,
}

/// All sessions of one daemon in one cluster.
pub struct Endpoint {
    key: Key,
    public: PublicKey,
    cluster: Cluster,
    service: Service,
    /// How long a message may go unanswered before a new session is tried beside the old one.
    patience: Duration,
    peers: BTreeMap<NodeId, Peer>,
    sessions: HashMap<u32, (NodeId, Session)>,
    next_index: u32,
}

impl Endpoint {
    /// An endpoint without sessions. `seed` only makes session numbers hard to guess.
    #[must_use]
    pub fn new(key: Key, cluster: Cluster, service: Service, patience: Duration, seed: u32) -> Endpoint {
        let public = key.public();
        let (peers, sessions) = (BTreeMap::new(), HashMap::new());
        Endpoint { key, public, cluster, service, patience, peers, sessions, next_index: seed }
    }

    /// Makes `node` known by its public key. Everybody else is a stranger.
    pub fn add_peer(&mut self, node: NodeId, public: PublicKey) {
        self.peers.insert(node, Peer { public, ..Peer::default() });
    }

    /// True if `datagram` asks for a session with this cluster and service.
    fn is_addressed(&self, datagram: &[u8]) -> bool {
        datagram.get(..2) == Some(&[VERSION, 1])
            && datagram.get(2..10) == Some(&self.cluster.tag)
            && datagram.get(10) == Some(&(self.service as u8))
    }

    /// True if `datagram` belongs to a session or an opening of this endpoint, for a daemon that has several.
    #[must_use]
    pub fn owns(&self, datagram: &[u8]) -> bool {
        if self.is_addressed(datagram) {
            return true;
        }
        let Some(index) = datagram.get(2..6).map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four"))) else {
            return false;
        };
        match datagram[1] {
            2 => self.peers.values().any(|peer| peer.opening.as_ref().is_some_and(|opening| opening.local == index)),
            3 => self.sessions.contains_key(&index),
            _ => false,
        }
    }

    fn fresh_index(&mut self) -> u32 {
        loop {
            self.next_index = self.next_index.wrapping_mul(0x9e37_79b1).wrapping_add(0x85eb_ca6b);
            if !self.sessions.contains_key(&self.next_index) {
                return self.next_index;
            }
        }
    }

    fn prologue(&self) -> Vec<u8> {
        [b"hotspare".as_slice(), &[VERSION], &self.cluster.tag, &[self.service as u8]].concat()
    }

    fn builder<'a>(&'a self, prologue: &'a [u8]) -> Builder<'a> {
        Builder::new(PATTERN.parse().expect("a valid pattern"))
            .local_private_key(&self.key.0)
            .and_then(|builder| builder.prologue(prologue))
            .and_then(|builder| builder.psk(2, &self.cluster.psk))
            .expect("each is set once")
    }

    /// Seals `message` for `to`. Returns the datagrams to send to it now: the message, a first message of a session
    /// that is needed, or both. Nothing for a stranger.
    pub fn send(&mut self, now: Duration, to: NodeId, message: Vec<u8>) -> Vec<Vec<u8>> {
        assert!(message.len() + 64 <= DATAGRAM_MAX, "a message of {} bytes does not fit a datagram", message.len());
        let Some(peer) = self.peers.get_mut(&to) else { return Vec::new() };
        let waiting_since = *peer.unanswered_since.get_or_insert(now);
        let mut datagrams = Vec::new();
        match peer.current.and_then(|index| self.sessions.get_mut(&index)).filter(|(_, s)| now < s.born + LIFE) {
            Some((_, session)) => {
                datagrams.push(seal(session, &message));
                let stale = session.opened_here && now >= session.born + REKEY;
                if !stale && now < waiting_since + self.patience {
                    return datagrams;
                }
            }
            None => {
                peer.queue.push_back(message);
                if peer.queue.len() > QUEUE_MAX {
                    peer.queue.pop_front();
                }
            }
        }
        datagrams.extend(self.open(now, to));
        datagrams
    }

    /// A first message to `to`, unless it went out just now.
    fn open(&mut self, now: Duration, to: NodeId) -> Option<Vec<u8>> {
        let peer = self.peers.get_mut(&to)?;
        if let Some(opening) = peer.opening.as_mut().filter(|opening| now < opening.born + OPENING_LIFE) {
            if now < opening.sent + RETRY {
                return None;
            }
            opening.sent = now;
            return Some(opening.datagram.clone());
        }
        let local = self.fresh_index();
        let public = self.peers[&to].public;
        let prologue = self.prologue();
        let mut state = self.builder(&prologue).remote_public_key(&public).ok()?.build_initiator().ok()?;
        let mut noise = [0; 256];
        let length = state.write_message(&[], &mut noise).ok()?;
        let head = [&[VERSION, 1], self.cluster.tag.as_slice(), &[self.service as u8], &local.to_be_bytes()].concat();
        let mut datagram = [&head, &noise[..length]].concat();
        datagram.extend(first_tag(&public, &datagram));
        let opening = Opening { state, local, datagram: datagram.clone(), born: now, sent: now };
        self.peers.get_mut(&to)?.opening = Some(opening);
        Some(datagram)
    }

    /// Takes a datagram in. Whatever cannot be proven to come from a known node changes nothing.
    pub fn receive(&mut self, now: Duration, datagram: &[u8]) -> Received {
        if datagram.len() > DATAGRAM_MAX || datagram.first() != Some(&VERSION) {
            return Received::default();
        }
        match datagram.get(1) {
            Some(1) => self.on_initiate(now, datagram),
            Some(2) => self.on_respond(now, datagram),
            Some(3) => self.on_data(now, datagram),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn on_initiate(&mut self, now: Duration, datagram: &[u8]) -> Option<Received> {
        let (signed, tag) = datagram.split_last_chunk::<16>()?;
        if !self.is_addressed(datagram) || first_tag(&self.public, signed) != *tag {
            return None;
        }
        let remote = u32::from_be_bytes(signed.get(11..15)?.try_into().ok()?);
        let ephemeral = signed.get(15..47)?;
        for (node, peer) in &self.peers {
            if let Some((_, answer)) = peer.answered.as_ref().filter(|(known, _)| known == ephemeral) {
                return Some(Received { message: None, send: vec![(*node, answer.clone())] });
            }
        }
        let prologue = self.prologue();
        let mut state = self.builder(&prologue).build_responder().ok()?;
        state.read_message(signed.get(15..)?, &mut [0; 256]).ok()?;
        let public: PublicKey = state.get_remote_static()?.try_into().ok()?;
        let node = *self.peers.iter().find(|(_, peer)| peer.public == public)?.0;
        let mut noise = [0; 256];
        let length = state.write_message(&[], &mut noise).ok()?;
        let local = self.fresh_index();
        let session = new_session(state, remote, now, false)?;
        self.sessions.insert(local, (node, session));
        let peer = self.peers.get_mut(&node)?;
        if let Some(old) = peer.offered.replace(local) {
            self.sessions.remove(&old);
        }
        let answer = [&[VERSION, 2], remote.to_be_bytes().as_slice(), &local.to_be_bytes(), &noise[..length]].concat();
        assert!(answer.len() <= datagram.len(), "an answer is never larger than the question");
        self.peers.get_mut(&node)?.answered = Some((ephemeral.to_vec(), answer.clone()));
        Some(Received { message: None, send: vec![(node, answer)] })
    }

    fn on_respond(&mut self, now: Duration, datagram: &[u8]) -> Option<Received> {
        let local = u32::from_be_bytes(datagram.get(2..6)?.try_into().ok()?);
        let remote = u32::from_be_bytes(datagram.get(6..10)?.try_into().ok()?);
        let opens = |peer: &Peer| peer.opening.as_ref().is_some_and(|opening| opening.local == local);
        let (node, peer) = self.peers.iter_mut().find(|(_, peer)| opens(peer))?;
        let node = *node;
        let mut opening = peer.opening.take()?;
        if opening.state.read_message(datagram.get(10..)?, &mut [0; 256]).is_err() {
            peer.opening = None; // snow's state is spoilt by a bad answer: the next send opens anew
            return None;
        }
        let session = new_session(opening.state, remote, now, true)?;
        peer.heard = Some(now);
        peer.unanswered_since = None;
        self.sessions.insert(local, (node, session));
        self.promote(node, local);
        let mut waiting: Vec<_> = self.peers.get_mut(&node)?.queue.drain(..).collect();
        if waiting.is_empty() {
            waiting.push(Vec::new()); // the responder trusts the session only once it was used
        }
        let session = &mut self.sessions.get_mut(&local)?.1;
        let send = waiting.iter().map(|message| (node, seal(session, message))).collect();
        Some(Received { message: None, send })
    }

    fn on_data(&mut self, now: Duration, datagram: &[u8]) -> Option<Received> {
        let index = u32::from_be_bytes(datagram.get(2..6)?.try_into().ok()?);
        let counter = u64::from_be_bytes(datagram.get(6..14)?.try_into().ok()?);
        let (node, session) = self.sessions.get_mut(&index)?;
        let node = *node;
        if now >= session.born + LIFE {
            return None;
        }
        let mut plain = vec![0; datagram.len()];
        let length = session.transport.read_message(counter, datagram.get(14..)?, &mut plain).ok()?;
        if !session.replay.take(counter) {
            return None; // a copy over a second link, or an attacker: either way seen
        }
        plain.truncate(length);
        let peer = self.peers.get_mut(&node)?;
        peer.heard = Some(now);
        peer.unanswered_since = None;
        let mut send = Vec::new();
        if peer.offered == Some(index) {
            peer.offered = None;
            self.promote(node, index);
            let waiting: Vec<_> = self.peers.get_mut(&node)?.queue.drain(..).collect();
            let session = &mut self.sessions.get_mut(&index)?.1;
            send = waiting.iter().map(|message| (node, seal(session, message))).collect();
        }
        let message = (!plain.is_empty()).then_some((node, plain));
        Some(Received { message, send })
    }

    /// Makes `index` the session to send with; the one before stays good for what is still under way.
    fn promote(&mut self, node: NodeId, index: u32) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.current == Some(index) {
            return;
        }
        let oldest = std::mem::replace(&mut peer.previous, peer.current.replace(index));
        if let Some(oldest) = oldest {
            self.sessions.remove(&oldest);
        }
    }

    /// When `node` was last heard, by an authenticated packet.
    #[must_use]
    pub fn heard(&self, node: NodeId) -> Option<Duration> {
        self.peers.get(&node)?.heard
    }

    /// Sessions kept: bounded by three for each configured peer.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }
}

fn new_session(state: HandshakeState, remote: u32, born: Duration, opened_here: bool) -> Option<Session> {
    let transport = state.into_stateless_transport_mode().ok()?;
    Some(Session { transport, remote, next_counter: 0, replay: ReplayWindow::default(), born, opened_here })
}

fn seal(session: &mut Session, message: &[u8]) -> Vec<u8> {
    let counter = session.next_counter;
    session.next_counter += 1;
    let mut datagram = vec![0; 14 + message.len() + 16];
    datagram[..2].copy_from_slice(&[VERSION, 3]);
    datagram[2..6].copy_from_slice(&session.remote.to_be_bytes());
    datagram[6..14].copy_from_slice(&counter.to_be_bytes());
    let length = session.transport.write_message(counter, message, &mut datagram[14..]).expect("the buffer fits");
    datagram.truncate(14 + length);
    datagram
}

/// The end of a first message: proof that its sender knows `receiver`'s public key, and nothing more.
#[must_use]
pub fn first_tag(receiver: &PublicKey, bytes: &[u8]) -> [u8; 16] {
    let mut mac = <Blake2sMac<U16> as Mac>::new_from_slice(receiver).expect("32 bytes are a key");
    Update::update(&mut mac, bytes);
    mac.finalize_fixed().into()
}

#[cfg(test)]
mod tests;
