//! As much of NBD as a test needs: whole blocks of a volume, by number.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

pub const BLOCK: usize = 4096;

/// How the lab's programs end.
pub fn end(program: &str, done: io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for; the numbers of the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read = 0,
    Write = 1,
    Flush = 3,
}

/// A connection to a volume's socket, on which several requests may be under way.
pub struct Volume(UnixStream);

impl Volume {
    /// A connection, and how many bytes there are.
    ///
    /// # Errors
    /// No socket, or nobody who speaks at it.
    pub fn open(path: &str) -> io::Result<(Volume, u64)> {
        let mut wire = UnixStream::connect(path)?;
        let mut greeting = [0; 18];
        wire.read_exact(&mut greeting)?;
        wire.write_all(&3_u32.to_be_bytes())?;
        wire.write_all(&[b"IHAVEOPT".as_slice(), &1_u32.to_be_bytes(), &0_u32.to_be_bytes()].concat())?;
        let mut export = [0; 10];
        wire.read_exact(&mut export)?;
        Ok((Volume(wire), u64::from_be_bytes(*export.first_chunk().expect("longer"))))
    }

    /// # Errors
    /// Nobody is there any more.
    pub fn ask(&mut self, kind: Kind, handle: u64, place: u64, data: &[u8]) -> io::Result<()> {
        let length = if kind == Kind::Flush { 0 } else { 4096_u32 };
        let at = place * BLOCK as u64;
        let kind = (kind as u16).to_be_bytes();
        let head = [&0x2560_9513_u32.to_be_bytes(), [0, 0].as_slice(), &kind, &handle.to_be_bytes()].concat();
        self.0.write_all(&[head.as_slice(), &at.to_be_bytes(), &length.to_be_bytes(), data].concat())
    }

    /// The handle of a request that was done.
    ///
    /// # Errors
    /// What the volume said to it, or that nobody is there any more.
    pub fn answer(&mut self) -> io::Result<u64> {
        let mut reply = [0; 16];
        self.0.read_exact(&mut reply)?;
        let error = u32::from_be_bytes(reply[4..8].try_into().expect("four"));
        if error != 0 {
            return Err(io::Error::from_raw_os_error(i32::try_from(error).unwrap_or(5)));
        }
        Ok(u64::from_be_bytes(reply[8..].try_into().expect("eight")))
    }

    /// # Errors
    /// As [`Volume::answer`].
    pub fn read(&mut self, place: u64) -> io::Result<Vec<u8>> {
        self.ask(Kind::Read, 1, place, &[])?;
        self.answer()?;
        let mut block = vec![0; BLOCK];
        self.0.read_exact(&mut block)?;
        Ok(block)
    }

    /// # Errors
    /// As [`Volume::answer`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.ask(Kind::Flush, 0, 0, &[])?;
        self.answer().map(drop)
    }
}
