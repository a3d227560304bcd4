//! Bytes for the disk: aligned, so that they can go there without another copy (O_DIRECT), and never changed once they are shared (R9).

use bytemuck::{Pod, Zeroable};
use std::sync::Arc;

/// What disks want memory to be aligned to.
pub const ALIGN: usize = 4096;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Page([u8; ALIGN]);

/// Some bytes, in whole pages of memory.
pub struct Buffer {
    pages: Vec<Page>,
    len: usize,
}

/// A buffer that several threads read.
pub type Shared = Arc<Buffer>;

impl Buffer {
    /// `len` zeros.
    pub fn new(len: usize) -> Buffer {
        Buffer { pages: vec![Page::zeroed(); len.div_ceil(ALIGN)], len }
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.pages)[..self.len]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.pages)[..self.len]
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::new(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_long_as_they_were_asked_to_be() {
        for len in [0, 1, 512, 4096, 4097, 65536] {
            let buffer = Buffer::new(len);
            assert_eq!(buffer.bytes().len(), len);
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(ALIGN));
        }
        assert_eq!(Buffer::from([1, 2, 3].as_slice()).bytes(), [1, 2, 3]);
    }
}
