//! Messages as bytes: fixed layouts, big-endian, every length checked before anything is built.

use hotspare_core::copies::COPIES_MAX;
use hotspare_core::joining::Stage;
use hotspare_core::message::{
    Answer, Fellow, Fenced, FromVoter, LiveLease, Pause, PeerMessage, Refusal, Sent, ToVoter,
};
use hotspare_core::voter::Register;
use hotspare_core::{Ballot, Copies, Epoch, GroupId, Incarnation, NodeId, NodeSet, Stamp, Value};
use std::time::Duration;

/// One message of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub group: GroupId,
    pub body: Body,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    ToVoter(ToVoter),
    FromVoter(FromVoter),
    Peer(PeerMessage),
    Fellow(Fellow),
}

/// A heartbeat over one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Which of the sender's links this went out on.
    pub link: u8,
    pub sequence: u64,
    /// The sender hears the receiver on this link.
    pub hears_you: bool,
    /// When the sender sent this, by its own clocks.
    pub sent: Stamp,
    /// The receiver's beat that the sender heard last, and how long ago.
    pub echo: Option<(Stamp, Duration)>,
    /// A digest of the sender's configuration file.
    pub config: u64,
}

/// Why bytes could not be read. They came from an authenticated peer, so this means another version or a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the message ends {0} bytes early")]
    Short(usize),
    #[error("unknown {what} {value}")]
    Unknown { what: &'static str, value: u8 },
    #[error("{0} bytes left over at the end")]
    Trailing(usize),
    #[error("it says that it is {0} long, which is more than can be")]
    TooLong(u64),
    #[error("its data is not what was sent: a checksum is wrong")]
    Sum,
}

pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_be_bytes());
    }
    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }
    fn span(&mut self, value: Duration) {
        self.u64(hotspare_core::time::nanos(value));
    }
    fn stamp(&mut self, value: Stamp) {
        self.u64(value.boot);
        self.u64(value.raw);
    }
    fn ballot(&mut self, value: Ballot) {
        self.u64(value.counter);
        self.u64(value.node.0);
        self.u64(value.nonce);
    }
    fn incarnation(&mut self, value: Incarnation) {
        self.u64(value.boot);
        self.u64(value.nonce);
    }
    fn value(&mut self, value: Value) {
        self.u64(value.epoch.0);
        self.u64(value.holder.0);
        self.incarnation(value.incarnation);
        self.copies(value.copies);
    }
    /// A generation of zero is a group without data, and then nothing follows.
    fn copies(&mut self, value: Copies) {
        self.u64(value.generation);
        if value.generation != 0 {
            self.u64(value.rev);
            self.u8(u8::try_from(value.insync.iter().count()).expect("few"));
            value.insync.iter().for_each(|node| self.u64(node.0));
        }
    }
    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
    fn accepted(&mut self, value: Option<(Ballot, Value)>) {
        self.option(value, |w, (ballot, value)| {
            w.ballot(ballot);
            w.value(value);
        });
    }
    fn live(&mut self, value: Option<LiveLease>) {
        self.option(value, |w, live| {
            w.u64(live.holder.0);
            w.u64(live.epoch.0);
            w.span(live.left);
        });
    }
}

pub(crate) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Short(N - self.0.len().min(N)))?;
        self.0 = rest;
        Ok(*head)
    }
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take::<1>()?[0])
    }
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.take()?))
    }
    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(Malformed::Unknown { what: "flag", value }),
        }
    }
    fn span(&mut self) -> Result<Duration, Malformed> {
        Ok(Duration::from_nanos(self.u64()?))
    }
    fn stamp(&mut self) -> Result<Stamp, Malformed> {
        Ok(Stamp { boot: self.u64()?, raw: self.u64()? })
    }
    fn node(&mut self) -> Result<NodeId, Malformed> {
        Ok(NodeId(self.u64()?))
    }
    fn ballot(&mut self) -> Result<Ballot, Malformed> {
        Ok(Ballot { counter: self.u64()?, node: self.node()?, nonce: self.u64()? })
    }
    fn incarnation(&mut self) -> Result<Incarnation, Malformed> {
        Ok(Incarnation { boot: self.u64()?, nonce: self.u64()? })
    }
    fn epoch(&mut self) -> Result<Epoch, Malformed> {
        Ok(Epoch(self.u64()?))
    }
    fn value(&mut self) -> Result<Value, Malformed> {
        let (epoch, holder, incarnation) = (self.epoch()?, self.node()?, self.incarnation()?);
        Ok(Value { epoch, holder, incarnation, copies: self.copies()? })
    }
    fn copies(&mut self) -> Result<Copies, Malformed> {
        let generation = self.u64()?;
        if generation == 0 {
            return Ok(Copies::default());
        }
        let (rev, count) = (self.u64()?, self.u8()?);
        let wrong = Malformed::Unknown { what: "number of copies", value: count };
        if usize::from(count) > COPIES_MAX {
            return Err(wrong);
        }
        let nodes = (0..count).map(|_| self.node()).collect::<Result<Vec<_>, _>>()?;
        // In order, nothing twice, nobody: one set has one way to be written.
        let insync = NodeSet::of(nodes.iter().copied()).filter(|set| set.iter().eq(nodes)).ok_or(wrong)?;
        Ok(Copies { generation, rev, insync })
    }
    fn fenced(&mut self) -> Result<Fenced, Malformed> {
        Ok(Fenced { node: self.node()?, incarnation: self.incarnation()? })
    }
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<Option<T>, Malformed> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
    fn accepted(&mut self) -> Result<Option<(Ballot, Value)>, Malformed> {
        self.option(|r| Ok((r.ballot()?, r.value()?)))
    }
    fn live(&mut self) -> Result<Option<LiveLease>, Malformed> {
        self.option(|r| Ok(LiveLease { holder: r.node()?, epoch: r.epoch()?, left: r.span()? }))
    }
    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Trailing(self.0.len())) }
    }
}

const REFUSALS: [Refusal; 6] = [
    Refusal::LeaseLive,
    Refusal::Parked,
    Refusal::Evicted,
    Refusal::Quarantine,
    Refusal::HigherBallot,
    Refusal::NotCandidate,
];
const STAGES: [Stage; 4] = [Stage::Fresh, Stage::Ready, Stage::Joined, Stage::Returning];
const ANSWERS: [Answer; 4] = [Answer::Granted, Answer::Busy, Answer::NotHolder, Answer::NotReady];

fn index_of<T: PartialEq>(table: &[T], item: &T) -> u8 {
    let place = table.iter().position(|entry| entry == item).expect("the table is complete");
    u8::try_from(place).expect("the table is small")
}

/// The bytes of `frames`.
#[must_use]
pub fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut w = Writer(Vec::with_capacity(128 * frames.len()));
    for frame in frames {
        w.u64(frame.group.0);
        match &frame.body {
            Body::ToVoter(message) => to_voter(&mut w, message),
            Body::FromVoter(message) => from_voter(&mut w, message),
            Body::Peer(message) => peer(&mut w, message),
            Body::Fellow(message) => fellow(&mut w, message),
        }
    }
    w.0
}

/// The frames in `bytes`; their number is bounded by the length of the datagram.
///
/// # Errors
/// What is wrong with the bytes; then none of the frames is used.
pub fn decode(bytes: &[u8]) -> Result<Vec<Frame>, Malformed> {
    let mut r = Reader(bytes);
    let mut frames = Vec::new();
    while !r.0.is_empty() {
        let group = GroupId(r.u64()?);
        let body = match r.u8()? {
            tag @ 1..=5 => Body::ToVoter(read_to_voter(&mut r, tag)?),
            tag @ 16..=21 => Body::FromVoter(read_from_voter(&mut r, tag)?),
            tag @ 32..=35 => Body::Peer(read_peer(&mut r, tag)?),
            48 => Body::Fellow(Fellow::Recall { round: r.u64()?, boot: r.u64()? }),
            49 => Body::Fellow(read_recalled(&mut r)?),
            value => return Err(Malformed::Unknown { what: "message", value }),
        };
        frames.push(Frame { group, body });
    }
    Ok(frames)
}

fn to_voter(w: &mut Writer, message: &ToVoter) {
    match *message {
        ToVoter::Read => w.u8(1),
        ToVoter::Prepare { ballot, park, fenced } => {
            w.u8(2);
            w.ballot(ballot);
            w.bool(park);
            w.option(fenced, |w, fenced| {
                w.u64(fenced.node.0);
                w.incarnation(fenced.incarnation);
            });
        }
        ToVoter::Accept { ballot, value } => {
            w.u8(3);
            w.ballot(ballot);
            w.value(value);
        }
        ToVoter::Renew { epoch, incarnation, round } => {
            w.u8(4);
            w.u64(epoch.0);
            w.incarnation(incarnation);
            w.u64(round);
        }
        ToVoter::Release { epoch, incarnation } => {
            w.u8(5);
            w.u64(epoch.0);
            w.incarnation(incarnation);
        }
    }
}

fn read_to_voter(r: &mut Reader, tag: u8) -> Result<ToVoter, Malformed> {
    Ok(match tag {
        1 => ToVoter::Read,
        2 => ToVoter::Prepare { ballot: r.ballot()?, park: r.bool()?, fenced: r.option(Reader::fenced)? },
        3 => ToVoter::Accept { ballot: r.ballot()?, value: r.value()? },
        4 => ToVoter::Renew { epoch: r.epoch()?, incarnation: r.incarnation()?, round: r.u64()? },
        _ => ToVoter::Release { epoch: r.epoch()?, incarnation: r.incarnation()? },
    })
}

fn from_voter(w: &mut Writer, message: &FromVoter) {
    match *message {
        FromVoter::State { promised, accepted, live, fellow } => {
            // A fellow is named where there are two voters, and nowhere else.
            w.u8(if fellow.is_some() { 21 } else { 16 });
            w.ballot(promised);
            w.accepted(accepted);
            w.live(live);
            if let Some(boot) = fellow {
                w.u64(boot);
            }
        }
        FromVoter::Promise { ballot, accepted, credit } => {
            w.u8(17);
            w.ballot(ballot);
            w.accepted(accepted);
            w.bool(credit);
        }
        FromVoter::Refused { ballot, promised, why, live } => {
            w.u8(18);
            w.ballot(ballot);
            w.ballot(promised);
            w.u8(index_of(&REFUSALS, &why));
            w.live(live);
        }
        FromVoter::Accepted { ballot, lease, credit } => {
            w.u8(19);
            w.ballot(ballot);
            w.span(lease);
            w.bool(credit);
        }
        FromVoter::Renewed { round, lease, granted, promised, credit } => {
            w.u8(20);
            w.u64(round);
            w.span(lease);
            w.bool(granted);
            w.ballot(promised);
            w.bool(credit);
        }
    }
}

fn read_from_voter(r: &mut Reader, tag: u8) -> Result<FromVoter, Malformed> {
    Ok(match tag {
        16 => FromVoter::State { promised: r.ballot()?, accepted: r.accepted()?, live: r.live()?, fellow: None },
        21 => {
            let (promised, accepted, live) = (r.ballot()?, r.accepted()?, r.live()?);
            FromVoter::State { promised, accepted, live, fellow: Some(r.u64()?) }
        }
        17 => FromVoter::Promise { ballot: r.ballot()?, accepted: r.accepted()?, credit: r.bool()? },
        18 => FromVoter::Refused {
            ballot: r.ballot()?,
            promised: r.ballot()?,
            why: pick(&REFUSALS, "refusal", r.u8()?)?,
            live: r.live()?,
        },
        19 => FromVoter::Accepted { ballot: r.ballot()?, lease: r.span()?, credit: r.bool()? },
        _ => FromVoter::Renewed {
            round: r.u64()?,
            lease: r.span()?,
            granted: r.bool()?,
            promised: r.ballot()?,
            credit: r.bool()?,
        },
    })
}

fn pick<T: Copy>(table: &[T], what: &'static str, value: u8) -> Result<T, Malformed> {
    table.get(usize::from(value)).copied().ok_or(Malformed::Unknown { what, value })
}

fn fellow(w: &mut Writer, message: &Fellow) {
    match *message {
        Fellow::Recall { round, boot } => {
            w.u8(48);
            w.u64(round);
            w.u64(boot);
        }
        Fellow::Recalled { round, stage, register, boot } => {
            w.u8(49);
            w.u64(round);
            w.u8(stage_byte(stage));
            w.ballot(register.promised);
            w.accepted(register.accepted);
            w.u64(boot);
        }
    }
}

fn read_recalled(r: &mut Reader) -> Result<Fellow, Malformed> {
    let (round, stage) = (r.u64()?, stage_of(r.u8()?)?);
    let register = Register { promised: r.ballot()?, accepted: r.accepted()? };
    Ok(Fellow::Recalled { round, stage, register, boot: r.u64()? })
}

/// A stage as a byte, on the wire and in registers.
pub(crate) fn stage_byte(stage: Stage) -> u8 {
    index_of(&STAGES, &stage)
}

pub(crate) fn stage_of(byte: u8) -> Result<Stage, Malformed> {
    pick(&STAGES, "stage", byte)
}

fn peer(w: &mut Writer, message: &PeerMessage) {
    match *message {
        PeerMessage::Hello { ready, holding, yielding, pause, sent } => {
            w.u8(32);
            w.option(ready, Writer::incarnation);
            w.option(holding, |w, epoch| w.u64(epoch.0));
            w.option(yielding, |w, node| w.u64(node.0));
            w.u64(pause.version);
            w.u8(u8::from(pause.on));
            w.u64(sent.boot);
            w.u64(sent.at);
        }
        PeerMessage::Ask { request, to } => {
            w.u8(33);
            w.u64(request);
            w.u64(to.0);
        }
        PeerMessage::Answer { request, verdict } => {
            w.u8(34);
            w.u64(request);
            w.u8(index_of(&ANSWERS, &verdict));
        }
        PeerMessage::Handed { epoch, incarnation } => {
            w.u8(35);
            w.u64(epoch.0);
            w.incarnation(incarnation);
        }
    }
}

fn read_peer(r: &mut Reader, tag: u8) -> Result<PeerMessage, Malformed> {
    Ok(match tag {
        32 => {
            let (ready, holding) = (r.option(Reader::incarnation)?, r.option(Reader::epoch)?);
            let yielding = r.option(Reader::node)?;
            let pause = Pause { version: r.u64()?, on: pick(&[false, true], "pause", r.u8()?)? };
            PeerMessage::Hello { ready, holding, yielding, pause, sent: Sent { boot: r.u64()?, at: r.u64()? } }
        }
        33 => PeerMessage::Ask { request: r.u64()?, to: r.node()? },
        34 => PeerMessage::Answer { request: r.u64()?, verdict: pick(&ANSWERS, "answer", r.u8()?)? },
        _ => PeerMessage::Handed { epoch: r.epoch()?, incarnation: r.incarnation()? },
    })
}

/// The bytes of a heartbeat.
#[must_use]
pub fn encode_beat(beat: &Beat) -> Vec<u8> {
    let mut w = Writer(Vec::with_capacity(80));
    w.u8(beat.link);
    w.u64(beat.sequence);
    w.bool(beat.hears_you);
    w.stamp(beat.sent);
    w.option(beat.echo, |w, (stamp, held)| {
        w.stamp(stamp);
        w.span(held);
    });
    w.u64(beat.config);
    w.0
}

/// The heartbeat in `bytes`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_beat(bytes: &[u8]) -> Result<Beat, Malformed> {
    let mut r = Reader(bytes);
    let beat = Beat {
        link: r.u8()?,
        sequence: r.u64()?,
        hears_you: r.bool()?,
        sent: r.stamp()?,
        echo: r.option(|r| Ok((r.stamp()?, r.span()?)))?,
        config: r.u64()?,
    };
    r.end()?;
    Ok(beat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! { fn ballot()(counter: u64, node: u64, nonce: u64) -> Ballot { Ballot { counter, node: NodeId(node), nonce } } }
    prop_compose! { fn life()(boot: u64, nonce: u64) -> Incarnation { Incarnation { boot, nonce } } }
    prop_compose! { fn copies()(generation in 1..=u64::MAX, rev: u64, nodes in proptest::collection::vec(1..=u64::MAX, 0..=7)) -> Copies {
    Copies { generation, rev, insync: NodeSet::of(nodes.into_iter().map(NodeId)).unwrap() } } }
    prop_compose! { fn value()(epoch: u64, holder: u64, incarnation in life(), copies in proptest::option::of(copies())) -> Value {
    Value { epoch: Epoch(epoch), holder: NodeId(holder), incarnation, copies: copies.unwrap_or_default() } } }
    prop_compose! { fn sent()(boot: u64, at: u64) -> Sent { Sent { boot, at } } }
    prop_compose! { fn fenced()(node: u64, incarnation in life()) -> Fenced { Fenced { node: NodeId(node), incarnation } } }
    prop_compose! { fn live()(holder: u64, epoch: u64, left: u64) -> LiveLease {
    LiveLease { holder: NodeId(holder), epoch: Epoch(epoch), left: Duration::from_nanos(left) } } }

    fn fellow() -> impl Strategy<Value = Body> {
        let recalled = (any::<u64>(), 0..3_usize, ballot(), proptest::option::of((ballot(), value())));
        prop_oneof![
            (any::<u64>(), any::<u64>()).prop_map(|(round, boot)| Body::Fellow(Fellow::Recall { round, boot })),
            recalled.prop_map(|(round, stage, promised, accepted)| {
                let register = Register { promised, accepted };
                Body::Fellow(Fellow::Recalled { round, stage: STAGES[stage], register, boot: !round })
            }),
        ]
    }

    fn body() -> impl Strategy<Value = Body> {
        let accepted = || proptest::option::of((ballot(), value()));
        let live = || proptest::option::of(live());
        prop_oneof![
            fellow(),
            Just(Body::ToVoter(ToVoter::Read)),
            (ballot(), any::<bool>(), proptest::option::of(fenced()))
                .prop_map(|(ballot, park, fenced)| Body::ToVoter(ToVoter::Prepare { ballot, park, fenced })),
            (ballot(), value()).prop_map(|(ballot, value)| Body::ToVoter(ToVoter::Accept { ballot, value })),
            (any::<u64>(), life(), any::<u64>()).prop_map(|(epoch, incarnation, round)| Body::ToVoter(
                ToVoter::Renew { epoch: Epoch(epoch), incarnation, round }
            )),
            (any::<u64>(), life())
                .prop_map(|(epoch, incarnation)| Body::ToVoter(ToVoter::Release { epoch: Epoch(epoch), incarnation })),
            (ballot(), accepted(), live()).prop_map(|(promised, accepted, live)| Body::FromVoter(FromVoter::State {
                promised,
                accepted,
                live,
                fellow: promised.counter.is_multiple_of(2).then_some(promised.counter)
            })),
            (ballot(), accepted()).prop_map(|(ballot, accepted)| Body::FromVoter(FromVoter::Promise {
                ballot,
                accepted,
                credit: ballot.counter % 2 == 0
            })),
            (ballot(), ballot(), 0..6_usize, live()).prop_map(|(ballot, promised, why, live)| Body::FromVoter(
                FromVoter::Refused { ballot, promised, why: REFUSALS[why], live }
            )),
            (ballot(), any::<u64>()).prop_map(|(ballot, ns)| Body::FromVoter(FromVoter::Accepted {
                ballot,
                lease: Duration::from_nanos(ns),
                credit: ns % 2 == 0
            })),
            (any::<u64>(), any::<u64>(), any::<bool>(), ballot()).prop_map(|(round, ns, granted, promised)| {
                Body::FromVoter(FromVoter::Renewed {
                    round,
                    lease: Duration::from_nanos(ns),
                    granted,
                    promised,
                    credit: !granted,
                })
            }),
            (proptest::option::of(life()), proptest::option::of(any::<u64>()), any::<u64>(), any::<bool>(), sent())
                .prop_map(|(ready, epoch, version, on, sent)| {
                    let pause = Pause { version, on };
                    let yielding = epoch.map(|epoch| NodeId(epoch ^ version));
                    Body::Peer(PeerMessage::Hello { ready, holding: epoch.map(Epoch), yielding, pause, sent })
                }),
            (any::<u64>(), any::<u64>())
                .prop_map(|(request, to)| Body::Peer(PeerMessage::Ask { request, to: NodeId(to) })),
            (any::<u64>(), 0..4_usize)
                .prop_map(|(request, n)| Body::Peer(PeerMessage::Answer { request, verdict: ANSWERS[n] })),
            (any::<u64>(), life())
                .prop_map(|(epoch, incarnation)| Body::Peer(PeerMessage::Handed { epoch: Epoch(epoch), incarnation })),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bodies in proptest::collection::vec((any::<u64>(), body()), 0..8)) {
            let frames: Vec<Frame> = bodies.into_iter().map(|(group, body)| Frame { group: GroupId(group), body }).collect();
            prop_assert_eq!(decode(&encode(&frames)), Ok(frames));
        }

        #[test]
        fn any_bytes_are_refused_or_read_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(frames) = decode(&bytes) {
                prop_assert_eq!(&encode(&frames), &bytes);
            }
            let _ = decode_beat(&bytes);
        }

        #[test]
        fn a_cut_message_is_refused(frame in body(), cut in 1..40_usize) {
            let bytes = encode(&[Frame { group: GroupId(1), body: frame }]);
            let end = bytes.len().saturating_sub(cut).max(1);
            prop_assert!(decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn beats_come_back_as_they_went() {
        let stamp = Stamp { boot: 5, raw: 6 };
        let beat = Beat {
            link: 1,
            sequence: 9,
            hears_you: true,
            sent: stamp,
            echo: Some((stamp, Duration::from_millis(3))),
            config: 77,
        };
        assert_eq!(decode_beat(&encode_beat(&beat)), Ok(beat));
        assert!(decode_beat(&[encode_beat(&beat), vec![0]].concat()).is_err());
    }
}
