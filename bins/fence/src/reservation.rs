//! Persistent reservations: who may write to a disk that several machines see (SPC-4, 5.12; NVM Express base specification, 8.19), by the
//! kernel's one interface for both (`include/uapi/linux/pr.h`).
//!
//! Every node has a key. Whoever takes the role registers its own and preempts the keys of all other nodes: what they write from then on
//! is refused by the disk, and what was under way is aborted. Nothing is given back: the next one takes it. The reservation is of the kind
//! that lets registrants write, since a machine with two paths to the disk is two registrants with one key.

use hotspare_core::id::fnv1a;
use hotspare_daemon::block;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, opcode};
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Whoever has registered a key writes, all others read.
const WRITE_EXCLUSIVE_REGISTRANTS: u32 = 3;
/// Whatever was registered before from here.
const IGNORE_KEY: u32 = 1;
/// What the kernel says when a key is not the one, or not there (`PR_STS_RESERVATION_CONFLICT`, SAM-5).
const CONFLICT: i32 = 0x18;
/// Keys that are asked for: of a SAN's disk there are a few.
const KEYS_MAX: usize = 256;
/// The first order after somebody else's preempt is answered with that news (a unit attention) and not carried out.
const TRIES: usize = 3;

/// The key of a node: the same on every node, and of no other cluster.
pub fn key(cluster: &str, node: &str) -> u64 {
    fnv1a(format!("{cluster}/{node}").as_bytes()).max(1)
}

/// How an order ended that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// Somebody else's reservation, or a key that nobody has registered.
    Conflict,
}

/// What can be asked of a disk. Each fails, in words, if the disk does not do it at all.
pub trait Reserve {
    fn register(&mut self, key: u64) -> Result<Answer, String>;
    fn reserve(&mut self, key: u64) -> Result<Answer, String>;
    /// Takes `other` out, with the reservation if it has it, and aborts what it has under way.
    fn preempt(&mut self, key: u64, other: u64) -> Result<Answer, String>;
    /// The keys that are registered; none where the kernel does not tell (it does since Linux 7.0).
    fn keys(&mut self) -> Vec<u64>;
}

/// What a claim has found.
#[derive(Debug, PartialEq, Eq)]
pub struct Claimed<'a> {
    /// Whose keys were there.
    pub lost: Vec<&'a str>,
    /// Keys of no node of the cluster, which may write as before: nobody but an operator knows whose they are.
    pub strangers: BTreeSet<u64>,
}

/// Leaves no key of `nodes` on the disk but `own`, and reserves it.
///
/// # Errors
/// If that cannot be had, in words.
pub fn claim<'a>(disk: &mut impl Reserve, own: u64, nodes: &[(&'a str, u64)]) -> Result<Claimed<'a>, String> {
    // Without a key of one's own, that a preempt is refused would not mean that there is nothing to preempt.
    if disk.register(own)? != Answer::Done {
        return Err("it does not take the key of this node".into());
    }
    let mut lost = Vec::new();
    for (name, other) in nodes.iter().filter(|(_, other)| *other != own) {
        if disk.preempt(own, *other)? == Answer::Done {
            lost.push(*name);
        }
        // The proof: what is still there would be taken out once more.
        if disk.preempt(own, *other)? == Answer::Done {
            return Err(format!("the key of {name} is there again: does somebody else claim it at the same time?"));
        }
    }
    match disk.reserve(own)? {
        Answer::Done => {
            let strangers: BTreeSet<u64> = disk.keys().into_iter().filter(|key| *key != own).collect();
            Ok(Claimed { lost, strangers })
        }
        Answer::Conflict => {
            Err("somebody who is no node of this cluster has it reserved: `sg_persist -r` (sg3-utils; \
                                 NVMe: `nvme resv-report`) shows the key, `sg_persist --out --clear` (`nvme \
                                 resv-release --rrela=1`) with that key ends it"
                .into())
        }
    }
}

/// A disk that is asked for nothing once the lease is not safely held any more: this program may have stood still for longer
/// than that, and what it had been about to take is another node's now.
pub struct WhileHeld<D, H>(pub D, pub H);

impl<D: Reserve, H: FnMut() -> bool> WhileHeld<D, H> {
    fn disk(&mut self) -> Result<&mut D, String> {
        if (self.1)() { Ok(&mut self.0) } else { Err("the lease was lost meanwhile: nothing more is taken".into()) }
    }
}

impl<D: Reserve, H: FnMut() -> bool> Reserve for WhileHeld<D, H> {
    fn register(&mut self, key: u64) -> Result<Answer, String> {
        self.disk()?.register(key)
    }

    fn reserve(&mut self, key: u64) -> Result<Answer, String> {
        self.disk()?.reserve(key)
    }

    fn preempt(&mut self, key: u64, other: u64) -> Result<Answer, String> {
        self.disk()?.preempt(key, other)
    }

    fn keys(&mut self) -> Vec<u64> {
        self.0.keys() // takes nothing
    }
}

pub struct Disk(File);

impl Disk {
    /// The disk, if nothing on this machine has it for itself: an older mount that has not ended would write to it again.
    ///
    /// # Errors
    /// If it is not there, is in use here, or no block device, in words.
    pub fn open(path: &Path) -> Result<Disk, String> {
        Disk::open_to(path, true)
    }

    /// The same, and nothing can be asked of it: whoever closes a disk that was open for writing has udev look at it anew.
    ///
    /// # Errors
    /// The same.
    pub fn look(path: &Path) -> Result<(), String> {
        Disk::open_to(path, false).map(drop)
    }

    fn open_to(path: &Path, write: bool) -> Result<Disk, String> {
        let file = File::options().read(true).write(write).custom_flags(nix::libc::O_EXCL).open(path);
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(nix::libc::EBUSY) => {
                let users = block::users(path);
                let users = if users.is_empty() { "nobody that /proc shows".into() } else { users.join(", ") };
                format!("it is in use on this machine: {users}; an older mount must end first (umount)")
            }
            _ => format!("cannot open it: {error}"),
        })?;
        let kind = file.metadata().map_err(|error| error.to_string())?.file_type();
        if kind.is_block_device() { Ok(Disk(file)) } else { Err("this is no block device".into()) }
    }

    /// Nothing of it that this machine has read before is true any more.
    ///
    /// # Errors
    /// What the kernel says, in words.
    pub fn forget(&self) -> Result<(), String> {
        const FLUSH_BUFFERS: Opcode = opcode::none(0x12, 97);
        // SAFETY: BLKFLSBUF takes nothing and gives nothing.
        #[allow(unsafe_code)]
        let done = unsafe { ioctl::ioctl(&self.0, ioctl::NoArg::<FLUSH_BUFFERS>::new()) };
        done.map_err(|error| format!("cannot drop what was read before: {error}"))
    }

    fn order<T: Order>(&self, order: T) -> Result<Answer, String> {
        let mut said = 0;
        for _ in 0..TRIES {
            // SAFETY: `T` is the structure that pr.h has for `T::NUMBER`, which the kernel reads and does not keep.
            #[allow(unsafe_code)]
            match unsafe { ioctl::ioctl(&self.0, Told(order)) } {
                Ok(0) => return Ok(Answer::Done),
                Ok(CONFLICT) => return Ok(Answer::Conflict),
                Ok(other) => said = other,
                Err(error) => match io::Error::from(error).raw_os_error() {
                    Some(nix::libc::EBADE) => return Ok(Answer::Conflict), // before Linux 6.3
                    Some(nix::libc::EOPNOTSUPP | nix::libc::ENOTTY) => {
                        return Err("it does not do persistent reservations (SCSI-3 or NVMe)".into());
                    }
                    Some(nix::libc::EPERM) => return Err("only root reserves a disk, and only a whole one".into()),
                    _ => return Err(format!("{}: {error}", T::NAME)),
                },
            }
        }
        Err(format!("{}: the disk refuses it (status {said:#x})", T::NAME))
    }
}

impl Reserve for Disk {
    fn register(&mut self, key: u64) -> Result<Answer, String> {
        self.order(Registration { old: 0, new: key, flags: IGNORE_KEY, pad: 0 })
    }

    fn reserve(&mut self, key: u64) -> Result<Answer, String> {
        self.order(Reservation { key, kind: WRITE_EXCLUSIVE_REGISTRANTS, flags: 0 })
    }

    fn preempt(&mut self, key: u64, other: u64) -> Result<Answer, String> {
        self.order(Preemption { own: key, other, kind: WRITE_EXCLUSIVE_REGISTRANTS, flags: 0 })
    }

    fn keys(&mut self) -> Vec<u64> {
        const READ_KEYS: Opcode = opcode::read_write::<Keys>(b'p', 206);
        let mut keys = vec![0_u64; KEYS_MAX];
        let count = u32::try_from(keys.len()).expect("a few");
        let mut asked = Keys { generation: 0, count, place: keys.as_mut_ptr() as u64 };
        // SAFETY: `Keys` is the structure that pr.h has for 206, and `place` has room for `count` keys and outlives the call.
        #[allow(unsafe_code)]
        let _ = unsafe { ioctl::ioctl(&self.0, ioctl::Updater::<READ_KEYS, Keys>::new(&mut asked)) }; // none were found then
        keys.retain(|key| *key != 0); // nobody's
        keys
    }
}

/// `struct pr_read_keys`.
#[repr(C)]
struct Keys {
    generation: u32,
    count: u32,
    place: u64,
}

/// An order of pr.h, by its number there.
trait Order: Copy {
    const NUMBER: u8;
    const NAME: &'static str;
}

macro_rules! order {
    ($name:ident $number:literal $text:literal { $($field:ident: $type:ty),* }) => {
        #[derive(Clone, Copy)]
        #[repr(C)]
        struct $name { $($field: $type),* }

        impl Order for $name {
            const NUMBER: u8 = $number;
            const NAME: &'static str = $text;
        }
    };
}
order!(Registration 200 "register" { old: u64, new: u64, flags: u32, pad: u32 });
order!(Reservation 201 "reserve" { key: u64, kind: u32, flags: u32 });
// 204 is the one that aborts (203 does not). The first key is called `old_key`, and Documentation/block/pr.rst takes it for that of the other
// one; but both drivers (sd, nvme) hand it on as the key of whoever asks, and a target of Linux refuses it the other way round.
order!(Preemption 204 "preempt" { own: u64, other: u64, kind: u32, flags: u32 });

struct Told<T>(T);

// SAFETY: the number says what the pointer is to; the kernel writes nothing there.
#[allow(unsafe_code)]
unsafe impl<T: Order> Ioctl for Told<T> {
    type Output = i32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::write::<T>(b'p', T::NUMBER)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    // 0, or what the disk said; an error of the kernel's does not come here.
    unsafe fn output_from_ptr(said: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk as SPC-4 has it, seen by one machine after the other.
    #[derive(Default)]
    struct Lun {
        keys: BTreeSet<u64>,
        reserved: Option<u64>,
    }

    /// It, and whether it takes no key.
    struct Seen<'a>(&'a mut Lun, bool);

    impl Reserve for Seen<'_> {
        fn register(&mut self, key: u64) -> Result<Answer, String> {
            if self.1 {
                return Ok(Answer::Conflict);
            }
            self.0.keys.insert(key);
            Ok(Answer::Done)
        }

        fn reserve(&mut self, key: u64) -> Result<Answer, String> {
            if !self.0.keys.contains(&key) || self.0.reserved.is_some_and(|other| other != key) {
                return Ok(Answer::Conflict);
            }
            self.0.reserved = Some(key);
            Ok(Answer::Done)
        }

        fn preempt(&mut self, key: u64, other: u64) -> Result<Answer, String> {
            if !self.0.keys.contains(&key) || !self.0.keys.remove(&other) {
                return Ok(Answer::Conflict);
            }
            if self.0.reserved == Some(other) {
                self.0.reserved = Some(key);
            }
            Ok(Answer::Done)
        }

        fn keys(&mut self) -> Vec<u64> {
            self.0.keys.iter().copied().collect()
        }
    }

    fn taken_from<'a>(lost: &[&'a str]) -> Result<Claimed<'a>, String> {
        Ok(Claimed { lost: lost.to_vec(), strangers: BTreeSet::new() })
    }

    const NODES: [(&str, u64); 3] = [("alpha", 1), ("beta", 2), ("gamma", 3)];

    #[test]
    fn whoever_claims_it_last_is_the_only_one_who_can_write() {
        let mut lun = Lun::default();
        for (own, lost) in [(1, vec![]), (1, vec![]), (2, vec!["alpha"]), (3, vec!["beta"]), (1, vec!["gamma"])] {
            assert_eq!(claim(&mut Seen(&mut lun, false), own, &NODES), taken_from(&lost));
            assert_eq!((lun.keys.clone(), lun.reserved), (BTreeSet::from([own]), Some(own)));
        }
        // One that had registered and never reserved is taken out as well.
        lun.keys.insert(2);
        assert_eq!(claim(&mut Seen(&mut lun, false), 3, &NODES), taken_from(&["alpha", "beta"]));
    }

    #[test]
    fn a_key_of_no_node_is_told_and_left_where_it_is() {
        let mut lun = Lun { keys: BTreeSet::from([2, 77]), reserved: Some(2) };
        let claimed = claim(&mut Seen(&mut lun, false), 1, &NODES).unwrap();
        assert_eq!(claimed, Claimed { lost: vec!["beta"], strangers: BTreeSet::from([77]) });
        assert_eq!((lun.keys, lun.reserved), (BTreeSet::from([1, 77]), Some(1)));
    }

    #[test]
    fn one_that_stood_still_past_its_lease_takes_nothing_from_whoever_leads_now() {
        for held in 0..6 {
            let mut lun = Lun { keys: BTreeSet::from([2]), reserved: Some(2) };
            let mut left = held;
            let said = claim(
                &mut WhileHeld(Seen(&mut lun, false), || {
                    left -= 1;
                    left >= 0
                }),
                1,
                &NODES,
            );
            assert!(said.unwrap_err().contains("the lease was lost meanwhile"), "after {held} orders");
            let taken = held >= 2; // its own key, then that of beta
            assert_eq!(lun.keys.contains(&2), !taken, "after {held} orders");
            assert_eq!(lun.reserved, Some(if taken { 1 } else { 2 }), "after {held} orders");
        }
    }

    #[test]
    fn a_strangers_reservation_is_left_alone_and_said() {
        let mut lun = Lun { keys: BTreeSet::from([77]), reserved: Some(77) };
        let said = claim(&mut Seen(&mut lun, false), 1, &NODES).unwrap_err();
        assert!(said.contains("no node of this cluster"), "{said}");
        assert_eq!(lun.reserved, Some(77));
    }

    #[test]
    fn a_disk_that_takes_no_key_is_not_taken_for_one_where_nobody_else_has_any() {
        let mut lun = Lun { keys: BTreeSet::from([2]), reserved: Some(2) };
        assert!(claim(&mut Seen(&mut lun, true), 1, &NODES).is_err());
        assert_eq!((lun.keys, lun.reserved), (BTreeSet::from([2]), Some(2)));
    }

    #[test]
    fn the_structures_are_those_of_the_kernel_and_keys_differ() {
        assert_eq!((size_of::<Registration>(), size_of::<Reservation>(), size_of::<Preemption>()), (24, 16, 24));
        assert_eq!(size_of::<Keys>(), 16);
        assert_ne!(key("shop", "alpha"), key("shop", "beta"));
        assert_ne!(key("shop", "alpha"), key("lab", "alpha"));
        let said = Disk::open(Path::new("/dev/null")).err().expect("a character device");
        assert!(said.contains("no block device"), "{said}");
    }
}
