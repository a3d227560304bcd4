//! Programs for the kernel (classic BPF, socket(7) `SO_ATTACH_FILTER`) that say which packets a program is woken for.

use socket2::SockFilter;

/// How much of a packet is looked at: in network order.
pub const BYTE: u16 = 0x30;
pub const HALF: u16 = 0x28;
pub const WORD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Lets through what has all of these values at these offsets: each comparison that fails goes to the last line.
pub fn only_if(wanted: &[(u16, u32, u32)]) -> Vec<SockFilter> {
    let mut lines = Vec::new();
    for (n, (size, offset, value)) in wanted.iter().enumerate() {
        let to_the_last = u8::try_from(2 * (wanted.len() - n) - 1).expect("few lines");
        lines.push(SockFilter::new(*size, 0, 0, *offset));
        lines.push(SockFilter::new(IF_EQUAL, 0, to_the_last, *value));
    }
    lines.extend([SockFilter::new(RETURN, 0, 0, 0xffff), SockFilter::new(RETURN, 0, 0, 0)]);
    lines
}
