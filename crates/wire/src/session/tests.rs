//! What an outsider, a foreign cluster and a recording can do: nothing.

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn key(seed: u8) -> Key {
    Key([seed; 32])
}

fn endpoint(me: u8, peers: &[(NodeId, u8)], cluster: &str, service: Service) -> Endpoint {
    let mut endpoint = Endpoint::new(key(me), Cluster::new(cluster, &[], 0), service, ms(100), u32::from(me));
    for (node, seed) in peers {
        endpoint.add_peer(*node, key(*seed).public());
    }
    endpoint
}

fn pair() -> (Endpoint, Endpoint) {
    (endpoint(1, &[(B, 2)], "demo", Service::Lease), endpoint(2, &[(A, 1)], "demo", Service::Lease))
}

/// Sends `message` from `a` to `b` over a network that records everything; returns what arrives.
fn exchange(
    now: Duration,
    (a, b): (&mut Endpoint, &mut Endpoint),
    to: NodeId,
    message: &[u8],
    tape: &mut Vec<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let (mut to_b, mut to_a, mut arrived) = (a.send(now, to, message.to_vec()), Vec::new(), Vec::new());
    while !to_b.is_empty() || !to_a.is_empty() {
        for datagram in std::mem::take(&mut to_b) {
            tape.push(datagram.clone());
            let received = b.receive(now, &datagram);
            arrived.extend(received.message.map(|(_, bytes)| bytes));
            to_a.extend(received.send.into_iter().map(|(_, bytes)| bytes));
        }
        for datagram in std::mem::take(&mut to_a) {
            tape.push(datagram.clone());
            to_b.extend(a.receive(now, &datagram).send.into_iter().map(|(_, bytes)| bytes));
        }
    }
    arrived
}

#[test]
fn a_message_arrives_once_and_both_directions_share_the_session() {
    let (mut a, mut b) = pair();
    let mut tape = Vec::new();
    assert_eq!(exchange(ms(0), (&mut a, &mut b), B, b"renew", &mut tape), [b"renew"]);
    assert_eq!(exchange(ms(1), (&mut b, &mut a), A, b"granted", &mut tape), [b"granted"]);
    assert_eq!(tape.len(), 4, "one handshake, two messages");
}

#[test]
fn a_whole_recording_played_again_changes_nothing() {
    let (mut a, mut b) = pair();
    let mut tape = Vec::new();
    for n in 0..20 {
        exchange(ms(n), (&mut a, &mut b), B, &[u8::try_from(n).unwrap(), 1], &mut tape);
        exchange(ms(n), (&mut b, &mut a), A, b"answer", &mut tape);
    }
    // To both sides (so reflected ones too), backwards as well.
    let again: Vec<_> = tape.iter().chain(tape.iter().rev()).cloned().collect();
    for datagram in again {
        assert_eq!(a.receive(ms(30), &datagram).message, None);
        assert_eq!(b.receive(ms(30), &datagram).message, None);
    }
    assert!(a.sessions() <= 3 && b.sessions() <= 3);
    assert_eq!(exchange(ms(31), (&mut a, &mut b), B, b"still here", &mut Vec::new()), [b"still here"]);
    assert_eq!(exchange(ms(31), (&mut b, &mut a), A, b"me too", &mut Vec::new()), [b"me too"]);
}

#[test]
fn a_recording_of_a_former_life_changes_nothing() {
    let (mut a, mut b) = pair();
    let mut tape = Vec::new();
    exchange(ms(0), (&mut a, &mut b), B, b"old", &mut tape);
    let (mut a, mut b) = (pair().0, pair().1);
    for datagram in &tape {
        assert_eq!(b.receive(ms(0), datagram).message, None);
    }
    assert_eq!(exchange(ms(1), (&mut a, &mut b), B, b"new", &mut Vec::new()), [b"new"]);
}

#[test]
fn a_restarted_peer_is_reached_again_within_the_patience() {
    let (mut a, mut b) = pair();
    exchange(ms(0), (&mut a, &mut b), B, b"hello", &mut Vec::new());
    let mut b = pair().1;
    assert!(exchange(ms(10), (&mut a, &mut b), B, b"lost", &mut Vec::new()).is_empty());
    assert!(exchange(ms(60), (&mut a, &mut b), B, b"lost", &mut Vec::new()).is_empty());
    exchange(ms(111), (&mut a, &mut b), B, b"opens", &mut Vec::new());
    assert_eq!(exchange(ms(112), (&mut a, &mut b), B, b"heard", &mut Vec::new()), [b"heard"]);
}

#[test]
fn strangers_foreign_clusters_and_other_services_are_not_heard() {
    for mut outsider in [
        endpoint(9, &[(B, 2)], "demo", Service::Lease),
        endpoint(1, &[(B, 2)], "other", Service::Lease),
        endpoint(1, &[(B, 2)], "demo", Service::Heartbeat),
    ] {
        let mut b = pair().1;
        assert!(exchange(ms(0), (&mut outsider, &mut b), B, b"let me in", &mut Vec::new()).is_empty());
        assert_eq!(b.sessions(), 0);
    }
    for other in [Cluster::new("demo", b"psk", 0), Cluster::new("demo", &[], 1)] {
        let mut other = Endpoint::new(key(1), other, Service::Lease, ms(100), 1);
        other.add_peer(B, key(2).public());
        let mut b = pair().1;
        assert!(exchange(ms(0), (&mut other, &mut b), B, b"other secret, other era", &mut Vec::new()).is_empty());
    }
}

#[test]
fn one_node_cannot_speak_for_another() {
    let c = NodeId(3);
    let mut b = endpoint(2, &[(A, 1), (c, 3)], "demo", Service::Lease);
    let mut from_c = endpoint(3, &[(B, 2)], "demo", Service::Lease);
    for datagram in from_c.send(ms(0), B, b"I am A".to_vec()) {
        for (_, answer) in b.receive(ms(0), &datagram).send {
            for (_, data) in from_c.receive(ms(0), &answer).send {
                assert_eq!(b.receive(ms(0), &data).message, Some((c, b"I am A".to_vec())));
            }
        }
    }
}

#[test]
fn sessions_end_and_are_renewed_without_a_gap() {
    let (mut a, mut b) = pair();
    let mut tape = Vec::new();
    for second in 0..400 {
        let now = Duration::from_secs(second);
        assert_eq!(exchange(now, (&mut a, &mut b), B, b"tick", &mut tape), [b"tick"], "second {second}");
        assert_eq!(exchange(now, (&mut b, &mut a), A, b"tock", &mut tape), [b"tock"], "second {second}");
    }
    let openings = tape.iter().filter(|datagram| datagram[1] == 1).count();
    assert!((4..=10).contains(&openings), "{openings} handshakes in 400 s");
}

#[test]
fn junk_is_cheap_and_leaves_no_trace() {
    let mut b = pair().1;
    let mut rng = hotspare_core::rng::Rng::new(1);
    for n in 0..20_000_usize {
        let mut junk: Vec<u8> = (0..n % 200).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
        if n % 3 == 0 && junk.len() > 2 {
            (junk[0], junk[1]) = (VERSION, u8::try_from(n % 4).unwrap());
        }
        assert_eq!(b.receive(ms(0), &junk), Received::default());
    }
    assert_eq!(b.sessions(), 0);
}

#[test]
fn copies_over_several_links_make_one_session() {
    let (mut a, mut b) = pair();
    let first = a.send(ms(0), B, b"hello".to_vec());
    let answers: Vec<_> = (0..3).flat_map(|_| b.receive(ms(0), &first[0]).send).collect();
    assert_eq!(b.sessions(), 1);
    let data: Vec<_> = answers.iter().flat_map(|(_, answer)| a.receive(ms(0), answer).send).collect();
    let arrived: Vec<_> = data.iter().filter_map(|(_, bytes)| b.receive(ms(0), bytes).message).collect();
    assert_eq!(arrived, [(A, b"hello".to_vec())]);
}

#[test]
fn a_peer_that_is_slow_to_answer_is_asked_one_thing_and_its_answer_counts_whenever_it_comes() {
    let (mut a, mut b) = pair();
    let asked: Vec<_> = (0..40).flat_map(|n| a.send(ms(100 * n), B, b"renew".to_vec())).collect();
    assert_eq!(asked.len(), 14, "every 250 ms, where somebody sends every 100");
    assert!(asked.iter().all(|datagram| *datagram == asked[0]), "an overloaded peer has to work for one of them");
    let answers: Vec<_> = asked.iter().flat_map(|datagram| b.receive(ms(5000), datagram).send).collect();
    assert_eq!((answers.len(), b.sessions()), (14, 1));
    let said = a.receive(ms(5000), &answers[0].1).send;
    let heard: Vec<_> = said.iter().filter_map(|(_, datagram)| b.receive(ms(5001), datagram).message).collect();
    assert_eq!(heard.len(), QUEUE_MAX);
    assert_eq!(exchange(ms(5002), (&mut b, &mut a), A, b"granted", &mut Vec::new()), [b"granted"]);
    // One that nobody answered for long is replaced: what it opens must not end before it is renewed.
    let (mut a, _) = pair();
    let [first, last] = [ms(0), OPENING_LIFE].map(|now| a.send(now, B, b"renew".to_vec()));
    assert_ne!(first, last);
}
