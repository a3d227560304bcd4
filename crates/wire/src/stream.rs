//! A sealed stream between two copies of a volume: one TCP connection, one Noise session, in order, no other mode.
//!
//! ```text
//!  first   [1][4][cluster 8][volume 8][length 2][noise message 1]        from whoever calls
//!  second  [length 2][noise message 2]
//!  record  [length 2][ciphertext]                                         each way; numbered from zero, none can be left out or repeated
//! ```
//! Each way the key is replaced by one derived from it after [`REKEY`] records (Noise, revision 34, section 11.3): who learns it later cannot read
//! what went before, however long the connection has lasted. Whoever is called believes in the session when the first record has come: a recorded call that is played again proves nothing.

use crate::VERSION;
use crate::session::{Cluster, Key, PATTERN, PublicKey};
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::sync::{Arc, Mutex, MutexGuard};

/// Bytes of a call before its Noise message.
pub const CALL_HEAD: usize = 2 + 8 + 8 + 2;
/// Plaintext bytes of a record at most.
pub const RECORD_MAX: usize = 65_535 - 16;
/// Records that go under one key: at most 4 GiB.
pub const REKEY: u64 = 1 << 16;
const KIND: u8 = 4;

/// Why a call or an answer was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("it speaks version {0}, this program speaks {VERSION}")]
    OtherVersion(u8),
    #[error("it belongs to another cluster or another volume")]
    Foreign,
    #[error("it is not sealed by a node of this cluster")]
    NotSealed,
}

/// The keys of both ways. Neither half waits for the other for longer than a record takes.
type Transport = Arc<Mutex<StatelessTransportState>>;

fn lock(transport: &Transport) -> MutexGuard<'_, StatelessTransportState> {
    transport.lock().expect("nobody panics while sealing")
}

/// The sending half.
pub struct Seal {
    transport: Transport,
    next: u64,
}

/// The receiving half.
pub struct Unseal {
    transport: Transport,
    next: u64,
}

/// A call that waits for its answer.
pub struct Call(HandshakeState);

fn builder<'a>(key: &'a Key, cluster: &'a Cluster, prologue: &'a [u8]) -> Builder<'a> {
    Builder::new(PATTERN.parse().expect("a valid pattern"))
        .local_private_key(&key.0)
        .and_then(|builder| builder.prologue(prologue))
        .and_then(|builder| builder.psk(2, cluster.psk()))
        .expect("each is set once")
}

fn head(cluster: &Cluster, volume: u64) -> Vec<u8> {
    [&[VERSION, KIND], cluster.tag().as_slice(), &volume.to_be_bytes()].concat()
}

fn with_length(noise: &[u8]) -> Vec<u8> {
    let length = u16::try_from(noise.len()).expect("a handshake is short");
    [length.to_be_bytes().as_slice(), noise].concat()
}

/// Calls the node with this public key about `volume`: the bytes to send first.
///
/// # Errors
/// If the key is none.
pub fn call(key: &Key, cluster: &Cluster, peer: &PublicKey, volume: u64) -> Result<(Call, Vec<u8>), StreamError> {
    let head = head(cluster, volume);
    let state = builder(key, cluster, &head).remote_public_key(peer).and_then(Builder::build_initiator);
    let mut state = state.map_err(|_| StreamError::NotSealed)?;
    let mut noise = [0; 256];
    let length = state.write_message(&[], &mut noise).map_err(|_| StreamError::NotSealed)?;
    Ok((Call(state), [head, with_length(&noise[..length])].concat()))
}

impl Call {
    /// Takes the answer in (without its length).
    ///
    /// # Errors
    /// If it is not the answer of the node that was called.
    pub fn answered(mut self, noise: &[u8]) -> Result<(Seal, Unseal), StreamError> {
        self.0.read_message(noise, &mut [0; 256]).map_err(|_| StreamError::NotSealed)?;
        halves(self.0)
    }
}

/// Which volume a call is about, and how long its Noise message is, from its first [`CALL_HEAD`] bytes.
///
/// # Errors
/// If it is no call of this cluster.
pub fn called(cluster: &Cluster, head: &[u8; CALL_HEAD]) -> Result<(u64, usize), StreamError> {
    if head[0] != VERSION {
        return Err(StreamError::OtherVersion(head[0]));
    }
    if head[1] != KIND || head[2..10] != *cluster.tag() {
        return Err(StreamError::Foreign);
    }
    let volume = u64::from_be_bytes(head[10..18].try_into().expect("eight"));
    Ok((volume, usize::from(u16::from_be_bytes([head[18], head[19]]))))
}

/// Answers a call about `volume`: who called, and the bytes to send.
///
/// # Errors
/// If it does not come from anybody who knows this node and this cluster.
pub fn answer(
    key: &Key,
    cluster: &Cluster,
    volume: u64,
    noise: &[u8],
) -> Result<(PublicKey, Vec<u8>, Seal, Unseal), StreamError> {
    let head = head(cluster, volume);
    let mut state = builder(key, cluster, &head).build_responder().map_err(|_| StreamError::NotSealed)?;
    state.read_message(noise, &mut [0; 256]).map_err(|_| StreamError::NotSealed)?;
    let peer = state.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(StreamError::NotSealed)?;
    let mut noise = [0; 256];
    let length = state.write_message(&[], &mut noise).map_err(|_| StreamError::NotSealed)?;
    let (seal, unseal) = halves(state)?;
    Ok((peer, with_length(&noise[..length]), seal, unseal))
}

fn halves(state: HandshakeState) -> Result<(Seal, Unseal), StreamError> {
    let transport = state.into_stateless_transport_mode().map_err(|_| StreamError::NotSealed)?;
    let transport = Arc::new(Mutex::new(transport));
    Ok((Seal { transport: transport.clone(), next: 0 }, Unseal { transport, next: 0 }))
}

impl Seal {
    /// Appends `plain` to `out`, as records.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for piece in plain.chunks(RECORD_MAX) {
            let at = out.len();
            out.resize(at + 2 + piece.len() + 16, 0);
            let mut transport = lock(&self.transport);
            let length = transport.write_message(self.next, piece, &mut out[at + 2..]).expect("it fits");
            self.next += 1;
            if self.next.is_multiple_of(REKEY) {
                transport.rekey_outgoing();
            }
            let length = u16::try_from(length).expect("a record is short").to_be_bytes();
            out[at..at + 2].copy_from_slice(&length);
        }
    }
}

impl Unseal {
    /// Appends what is in `record` (without its length) to `out`.
    ///
    /// # Errors
    /// If it was changed, left out, repeated, or comes from somebody else.
    pub fn open(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        let at = out.len();
        out.resize(at + record.len(), 0);
        let mut transport = lock(&self.transport);
        let opened = transport.read_message(self.next, record, &mut out[at..]);
        let length = opened.map_err(|_| StreamError::NotSealed)?;
        self.next += 1;
        if self.next.is_multiple_of(REKEY) {
            transport.rekey_incoming();
        }
        out.truncate(at + length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(cluster: &Cluster) -> ((Seal, Unseal), (Seal, Unseal)) {
        let (a, b) = (Key::generate(), Key::generate());
        let (call, first) = call(&a, cluster, &b.public(), 7).unwrap();
        let head: &[u8; CALL_HEAD] = first.first_chunk().unwrap();
        let (volume, length) = called(cluster, head).unwrap();
        assert_eq!((volume, length), (7, first.len() - CALL_HEAD));
        let (who, second, seal, unseal) = answer(&b, cluster, volume, &first[CALL_HEAD..]).unwrap();
        assert_eq!(who, a.public());
        (call.answered(&second[2..]).unwrap(), (seal, unseal))
    }

    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<2>() {
            let (record, rest) = rest.split_at(usize::from(u16::from_be_bytes(*head)));
            all.push(record.to_vec());
            bytes = rest;
        }
        all
    }

    #[test]
    fn what_is_sealed_is_opened_in_order_and_only_so() {
        let cluster = Cluster::new("c", b"", 0);
        let ((mut seal, _), (_, mut unseal)) = pair(&cluster);
        let plain: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        let mut out = Vec::new();
        seal.seal(&plain, &mut out);
        let all = records(&out);
        assert_eq!(all.len(), 4);
        let mut opened = Vec::new();
        assert_eq!(unseal.open(&all[1], &mut Vec::new()), Err(StreamError::NotSealed), "one is left out");
        unseal.open(&all[0], &mut opened).unwrap();
        assert_eq!(unseal.open(&all[0], &mut Vec::new()), Err(StreamError::NotSealed), "one is repeated");
        let mut changed = all[1].clone();
        changed[100] ^= 1;
        assert_eq!(unseal.open(&changed, &mut Vec::new()), Err(StreamError::NotSealed));
        all[1..].iter().for_each(|record| unseal.open(record, &mut opened).unwrap());
        assert_eq!(opened, plain);
    }

    #[test]
    fn each_way_has_a_new_key_from_time_to_time_and_the_old_one_opens_nothing_more() {
        let cluster = Cluster::new("c", b"", 0);
        let ((mut seal, mut back), (mut answers, mut unseal)) = pair(&cluster);
        let pass = |seal: &mut Seal, unseal: &mut Unseal, count: u64| {
            for n in 0..count {
                let (mut out, mut opened) = (Vec::new(), Vec::new());
                seal.seal(&n.to_be_bytes(), &mut out);
                unseal.open(&out[2..], &mut opened).unwrap();
                assert_eq!(opened, n.to_be_bytes());
            }
        };
        let mut first = Vec::new();
        seal.seal(b"recorded", &mut first);
        unseal.open(&first[2..], &mut Vec::new()).unwrap();
        unseal.next = 0;
        unseal.open(&first[2..], &mut Vec::new()).expect("the key of then opens it");
        pass(&mut seal, &mut unseal, REKEY);
        pass(&mut answers, &mut back, 5); // the other way has its own count
        pass(&mut seal, &mut unseal, REKEY);
        pass(&mut answers, &mut back, REKEY);
        // Whoever has the keys of now and a recording of then:
        unseal.next = 0;
        assert_eq!(unseal.open(&first[2..], &mut Vec::new()), Err(StreamError::NotSealed));
    }

    #[test]
    fn strangers_other_clusters_and_other_volumes_are_turned_away() {
        let (cluster, other) = (Cluster::new("c", b"", 0), Cluster::new("d", b"", 0));
        let (a, b, c) = (Key::generate(), Key::generate(), Key::generate());
        let (_, first) = call(&a, &cluster, &b.public(), 7).unwrap();
        let head: &[u8; CALL_HEAD] = first.first_chunk().unwrap();
        assert_eq!(called(&other, head), Err(StreamError::Foreign));
        let mut newer = *head;
        newer[0] = 99;
        assert_eq!(called(&cluster, &newer), Err(StreamError::OtherVersion(99)));
        let noise = &first[CALL_HEAD..];
        assert!(answer(&b, &cluster, 8, noise).is_err(), "another volume");
        assert!(answer(&c, &cluster, 7, noise).is_err(), "meant for somebody else");
        for other in [Cluster::new("c", b"secret", 0), Cluster::new("c", b"", 1)] {
            // The secret is mixed in with the answer: whoever has another one is not understood from there on.
            let (call, first) = call(&a, &cluster, &b.public(), 7).unwrap();
            let (_, second, _, mut unseal) = answer(&b, &other, 7, &first[CALL_HEAD..]).unwrap();
            assert!(call.answered(&second[2..]).is_err());
            assert!(unseal.open(&[0; 40], &mut Vec::new()).is_err());
        }
        assert!(answer(&b, &cluster, 7, &noise[1..]).is_err() && answer(&b, &cluster, 7, &[]).is_err());
    }
}
