//! The kernel's ublk driver (linux/ublk_cmd.h): a block device whose requests this program takes from an io_uring. Here is how such a
//! device is made and ended; its requests are `queue`'s. What the kernel can do is asked of it, and not concluded from its version.

use super::queue::{BUFFER, DEPTH, Queue};
use bytemuck::{Pod, Zeroable};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// How long the kernel may take for a command, in seconds: one that hangs must not take this program along.
const PATIENCE: u64 = 30;
/// And for taking a device away that somebody has open: it is dead by then, and a unit that stops is not waited for much longer.
const CLOSE_PATIENCE: u64 = 2;
/// Bytes of `struct ublksrv_ctrl_cmd`.
const COMMAND: u32 = 32;
const READS: u32 = 2;
const READS_AND_WRITES: u32 = 3;

/// The number of a command, as ioctl(2) makes them (`UBLK_U_CMD_*`, `UBLK_U_IO_*`).
pub const fn number(direction: u32, number: u32, size: u32) -> u32 {
    direction << 30 | size << 16 | 0x75 << 8 | number
}

const GET_INFO: u32 = number(READS, 0x02, COMMAND);
const ADD: u32 = number(READS_AND_WRITES, 0x04, COMMAND);
const DELETE: u32 = number(READS_AND_WRITES, 0x05, COMMAND);
const START: u32 = number(READS_AND_WRITES, 0x06, COMMAND);
const STOP: u32 = number(READS_AND_WRITES, 0x07, COMMAND);
const SET_PARAMETERS: u32 = number(READS_AND_WRITES, 0x08, COMMAND);
const GET_FEATURES: u32 = number(READS, 0x13, COMMAND);
const UPDATE_SIZE: u32 = number(READS_AND_WRITES, 0x15, COMMAND);

/// Commands are numbered as above.
const ENCODED: u64 = 1 << 6;
/// A device that is in use can be made larger.
const GROWS: u64 = 1 << 10;
/// What must be there for it to be used where nobody asked for it: a volume grows while it is used, on either frontend.
const WANTED: u64 = ENCODED | GROWS;

/// `struct ublksrv_ctrl_dev_info`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Info {
    queues: u16,
    depth: u16,
    state: u16,
    pad: u16,
    buffer: u32,
    index: u32,
    pid: i32,
    pad1: u32,
    flags: u64,
    /// For the server's own use: whose device it is.
    owner_id: u64,
    owner: [u32; 2],
    reserved: [u64; 2],
}

/// `struct ublk_params`, as far as it is of use here.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Parameters {
    len: u32,
    types: u32,
    attributes: u32,
    /// As powers of two: the smallest request, what the disk likes, the best one, the smallest good one.
    shifts: [u8; 4],
    most: u32,
    chunk: u32,
    sectors: u64,
    boundary: u64,
    discard_alignment: u32,
    discard_granularity: u32,
    discard_most: u32,
    zeroes_most: u32,
    discard_segments: u16,
    reserved: [u16; 3],
}

/// The parameters are the basic ones and those of discards.
const BASIC_AND_DISCARD: u32 = 1 | 2;
/// Writes may be lost until they are flushed; and a write may ask not to be.
const CACHE_AND_FUA: u32 = 4 | 8;
/// The longest discard, in sectors: NBD has 32 bits for its bytes.
const DISCARD_MOST: u32 = (1 << 30) >> 9;

/// Has the kernel do `command`. It writes to `bytes`, if that is what the command is for.
fn ask(command: u32, index: u32, bytes: Option<&mut [u8]>, data: u64) -> io::Result<()> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/ublk-control")?;
    let mut ring: IoUring<squeue::Entry128, cqueue::Entry> = IoUring::builder().build(2)?;
    let mut buffer = bytes.as_deref().unwrap_or_default().to_vec();
    let length = u16::try_from(buffer.len()).expect("short");
    let place = if buffer.is_empty() { 0 } else { buffer.as_mut_ptr().expose_provenance() as u64 };
    let mut said = [0; 80];
    said[..4].copy_from_slice(&index.to_ne_bytes());
    said[4..6].copy_from_slice(&u16::MAX.to_ne_bytes()); // no queue
    said[6..8].copy_from_slice(&length.to_ne_bytes());
    said[8..16].copy_from_slice(&place.to_ne_bytes());
    said[16..24].copy_from_slice(&data.to_ne_bytes());
    let entry = opcode::UringCmd80::new(Fd(control.as_raw_fd()), command).cmd(said).build();
    push(&mut ring, &entry);
    let time = Timespec::new().sec(if command == DELETE { CLOSE_PATIENCE } else { PATIENCE });
    let mut waited = Err(io::ErrorKind::Interrupted.into());
    while waited.as_ref().is_err_and(|error: &io::Error| error.kind() == io::ErrorKind::Interrupted) {
        waited = ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time));
    }
    let done = ring.completion().next();
    let Some(done) = done else {
        std::mem::forget((ring, buffer, control)); // the kernel may still write there
        waited?;
        return Err(io::ErrorKind::TimedOut.into());
    };
    if done.result() < 0 {
        return Err(io::Error::from_raw_os_error(-done.result()));
    }
    if let Some(bytes) = bytes {
        bytes.copy_from_slice(&buffer);
    }
    Ok(())
}

/// What the command points to is on the heap, and kept until the kernel has done it, or for ever.
#[allow(unsafe_code)]
fn push(ring: &mut IoUring<squeue::Entry128, cqueue::Entry>, entry: &squeue::Entry128) {
    // SAFETY: as said above.
    unsafe { ring.submission().push(entry) }.expect("there is room for one");
}

/// What the driver can do.
///
/// # Errors
/// Where there is none, or one that cannot say it.
fn features() -> io::Result<u64> {
    let mut bytes = [0; 8];
    match ask(GET_FEATURES, 0, Some(&mut bytes), 0) {
        Ok(()) => Ok(u64::from_ne_bytes(bytes)),
        Err(error) => Err(io::Error::new(error.kind(), format!("the kernel has no ublk driver (ublk_drv): {error}"))),
    }
}

/// It can do everything that a volume needs.
pub fn is_wanted() -> bool {
    features().is_ok_and(|features| features & WANTED == WANTED)
}

/// Devices that were made for `id`, whatever has become of them.
pub fn left(id: u64) -> Vec<u32> {
    let entries = fs::read_dir("/sys/class/ublk-char").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let indices = names.filter_map(|name| name.trim_start_matches("ublkc").parse().ok());
    indices
        .filter(|index| {
            let mut info = Info::zeroed();
            ask(GET_INFO, *index, Some(bytemuck::bytes_of_mut(&mut info)), 0).is_ok() && info.owner_id == id
        })
        .collect()
}

/// Makes a device of `size` bytes for `id` that nobody sees yet; its number.
///
/// # Errors
/// If the kernel has no driver, or refuses.
pub fn make(id: u64, size: u64) -> io::Result<(u32, Queue)> {
    if features()? & ENCODED == 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel's ublk driver is too old"));
    }
    let (index, buffer) = (u32::MAX, BUFFER); // any number that is free
    let mut info = Info { queues: 1, depth: DEPTH, buffer, index, flags: ENCODED, owner_id: id, ..Zeroable::zeroed() };
    ask(ADD, u32::MAX, Some(bytemuck::bytes_of_mut(&mut info)), 0)?;
    let index = info.index;
    queue(index, size).map(|queue| (index, queue)).inspect_err(|_| drop(ask(DELETE, index, None, 0)))
}

fn queue(index: u32, size: u64) -> io::Result<Queue> {
    let mut parameters = Parameters {
        len: u32::try_from(size_of::<Parameters>()).expect("small"),
        types: BASIC_AND_DISCARD,
        attributes: CACHE_AND_FUA,
        shifts: [9, 12, 16, 12],
        most: BUFFER >> 9,
        sectors: size >> 9,
        discard_granularity: 512,
        discard_most: DISCARD_MOST,
        zeroes_most: DISCARD_MOST,
        discard_segments: 1,
        ..Zeroable::zeroed()
    };
    ask(SET_PARAMETERS, index, Some(bytemuck::bytes_of_mut(&mut parameters)), 0)?;
    Queue::new(open(index)?)
}

fn open(index: u32) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(PathBuf::from(format!("/dev/ublkc{index}")))
}

/// Shows the device; its requests are served already: the kernel looks for partitions first.
///
/// # Errors
/// If the kernel refuses.
pub fn start(index: u32) -> io::Result<()> {
    ask(START, index, None, u64::from(std::process::id()))
}

/// It has `size` bytes from now on.
///
/// # Errors
/// If the kernel refuses, or is too old for it.
pub fn resize(index: u32, size: u64) -> io::Result<()> {
    ask(UPDATE_SIZE, index, None, size >> 9)
}

/// Ends it: what is under way fails, and so does what comes later. It is gone when nobody has it open any more.
///
/// # Errors
/// If the kernel refuses, or somebody has it open still.
pub fn end(index: u32) -> io::Result<()> {
    ask(STOP, index, None, 0)?;
    ask(DELETE, index, None, 0).map_err(|error| match error.raw_os_error() {
        Some(nix::libc::ETIME) => {
            io::Error::new(io::ErrorKind::ResourceBusy, "somebody has it open, or mounted, still")
        }
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// linux/ublk_cmd.h
    #[test]
    fn what_the_kernel_is_told_is_laid_out_as_it_wants_it() {
        assert_eq!(size_of::<Info>(), 64);
        assert_eq!(size_of::<Parameters>(), 64);
        assert_eq!([ADD, START, GET_FEATURES], [0xc020_7504, 0xc020_7506, 0x8020_7513]);
    }

    #[test]
    fn where_the_kernel_has_no_driver_nothing_is_made() {
        if !std::path::Path::new("/dev/ublk-control").exists() {
            assert!(!is_wanted());
            assert_eq!(left(7), Vec::<u32>::new());
            let Err(error) = make(7, 1 << 20) else { panic!("made of what?") };
            assert!(error.to_string().contains("ublk_drv"), "{error}");
        }
    }
}
