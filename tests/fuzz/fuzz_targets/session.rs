//! Any datagrams from anybody, cut into pieces by a length byte: no panic, no state for strangers, no answer longer than
//! what asked for it (amplification).
#![no_main]
use hotspare_core::NodeId;
use hotspare_wire::{Cluster, Endpoint, Key, Service};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let cluster = Cluster::new("fuzz", b"", 0);
    let mut here = Endpoint::new(Key([1; 32]), cluster, Service::Vote, Duration::from_millis(100), 7);
    here.add_peer(NodeId(2), Key([2; 32]).public());
    let mut rest = bytes;
    let mut now = Duration::from_secs(1);
    while let Some((length, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        now += Duration::from_millis(10);
        let received = here.receive(now, datagram);
        assert!(received.message.is_none(), "nobody has the key");
        assert!(received.send.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= datagram.len());
        rest = tail;
    }
    assert_eq!(here.sessions(), 0);
});
