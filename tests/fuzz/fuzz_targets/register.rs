//! Any register file: read or refused, and what is read comes back as it was written.
#![no_main]
use hotspare_core::id::fnv1a;
use hotspare_wire::register::{SLOT, read, slot};
use libfuzzer_sys::fuzz_target;

const OWNER: u64 = 7;
const SECTOR: usize = SLOT / 2;

fuzz_target!(|bytes: &[u8]| {
    let _ = read(bytes, OWNER);
    // The checksum keeps the fuzzer out of the rest: mend it, and look again.
    let mut mended = bytes.to_vec();
    mended.resize(2 * SLOT, 0);
    for half in mended.chunks_mut(SECTOR) {
        half[..8].copy_from_slice(b"hotspreg");
        half[8..12].copy_from_slice(&1_u32.to_be_bytes());
        half[12..20].copy_from_slice(&OWNER.to_be_bytes());
        let end = 46 + usize::from(u16::from_be_bytes([half[44], half[45]]));
        if end + 8 <= SECTOR {
            let sum = fnv1a(&half[..end]).to_be_bytes();
            half[end..end + 8].copy_from_slice(&sum);
        }
    }
    if let Ok((sequence, kept)) = read(&mended, OWNER)
        && sequence > 0
    {
        let (place, bytes) = slot(sequence, OWNER, &kept);
        let mut again = vec![0; 2 * SLOT];
        for half in again.chunks_mut(SLOT) {
            half.copy_from_slice(&slot(0, OWNER, &Default::default()).1);
        }
        again[place..place + SLOT].copy_from_slice(&bytes);
        assert_eq!(read(&again, OWNER), Ok((sequence, kept)));
    }
});
