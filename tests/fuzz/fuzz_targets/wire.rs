//! Any plaintext that a peer may seal: read or refused, and what is read is written back the same.
#![no_main]
use hotspare_wire::{decode, decode_beat, encode, encode_beat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frames) = decode(bytes) {
        assert_eq!(decode(&encode(&frames)).as_ref(), Ok(&frames));
    }
    if let Ok(beat) = decode_beat(bytes) {
        assert_eq!(decode_beat(&encode_beat(&beat)).as_ref(), Ok(&beat));
    }
});
