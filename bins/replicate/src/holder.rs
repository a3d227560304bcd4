//! `hotspare-replicate serve`: the unit of the role, and the holder of what its user has open. It keeps each request until it is
//! answered, so that the engine (network, metadata, other copies) can crash, hang and be upgraded meanwhile; it has nothing that
//! could crash: no network, no disk, no format but NBD's 28 bytes.
//!
//! ```text
//!  file system --- /dev/hotspare/NAME --- kernel --- ublk's queue, or NBD's socket --.
//!  QEMU, libnbd --- NAME.nbd --------------------- socket ---+-- Relay -- NAME.engine -- the engine
//! ```
//! When the tenure is over, everything fails (R10): told so by the engine, or read from the lease's page by itself.

mod client;
mod guests;
mod kernel;
mod netlink;
mod queue;
mod relay;
mod request;
pub mod settle;
mod ublk;

use crate::nbd;
use crate::role::{self, Ask, Tell};
use crate::serve::{connect, receive};
use crate::sockets::Post;
use client::Stream;
use hotspare_config::{Frontend, Volume};
use hotspare_daemon::{Exit, Failure, block, clock, journal, notify};
use hotspare_page::{Standing, Tenancy};
use kernel::Way;
use nix::sys::signal::{SigSet, Signal};
use relay::{Order, Relay};
use request::Client;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an engine may say nothing, and then how long one that has ended may stay away: its unit starts it again after a tenth of a
/// second, or ends it by its watchdog before.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the relay may take to answer everything with an error.
const SEAL_PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries to reach it.
const AGAIN: Duration = Duration::from_millis(20);

/// What is held.
struct Holder {
    volume: String,
    /// Names it, whatever it is called.
    id: u64,
    /// In bytes, once the engine has said so.
    size: AtomicU64,
    /// The way to the relay.
    post: Post<Order>,
    /// Clients that it has, or that are being greeted.
    clients: Arc<AtomicUsize>,
    /// Requests fail from now on.
    sealed: AtomicBool,
    /// Told to stop.
    stopping: AtomicBool,
    /// The engine is spoken to here.
    control: Mutex<Option<UnixStream>>,
    /// The kernel's device, if there is one.
    device: Mutex<Option<String>>,
    /// Whoever has the file system in use was named.
    settled: AtomicBool,
}

/// What the engine says.
enum Said {
    /// It serves, in this epoch.
    Serving(u64),
    /// The volume has so many bytes.
    Size(u64),
}

/// Has the volume served until it is told to stop, or cannot be any more.
///
/// # Errors
/// If it cannot be.
pub fn hold(described: &Volume, group: &str) -> Result<Exit, Failure> {
    let (volume, id, frontend) = (described.name.as_str(), described.id, described.frontend);
    let mut set = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT].into_iter().for_each(|signal| set.add(signal));
    set.thread_block().map_err(Exit::OsErr.why("cannot handle signals"))?;
    journal::init();
    crate::steady();
    let tenancy = Tenancy::open(group);
    let tenancy = tenancy.map_err(|why| Failure::new(Exit::TempFail, format!("volume {volume}: {why}")))?;
    let _lock = alone(volume)?;
    nothing_is_left(volume, id)?;
    if let Some(mount) = &described.mount
        && let Some(source) = kernel::mounted_still(&mount.place)
    {
        let place = &mount.place;
        let message =
            format!("volume {volume}: {source} of an earlier tenure is mounted on {place} still: umount {place}");
        return Err(Failure::new(Exit::TempFail, message));
    }
    let (told, lost) = channel();
    let clients = Arc::new(AtomicUsize::new(0));
    let (relay, post) = Relay::new(told, clients.clone()).map_err(Exit::OsErr.why("cannot wait for clients"))?;
    let holder = Arc::new(Holder {
        volume: volume.to_owned(),
        id,
        size: AtomicU64::new(0),
        post,
        clients,
        sealed: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        control: Mutex::new(None),
        device: Mutex::new(None),
        settled: AtomicBool::new(false),
    });
    let (stopped, followed) = (holder.clone(), holder.clone());
    let (relayed, finder) = (holder.clone(), holder.clone());
    spawn("relay", move || relayed.relay(relay))?;
    spawn("engine", move || finder.find_engines(&lost))?;
    spawn("signals", move || {
        let _ = set.wait();
        if !stopped.is(&stopped.sealed)
            && let Some(name) = &*stopped.device.lock().unwrap_or_else(PoisonError::into_inner)
        {
            stopped.settled.store(settle::settle(&stopped.volume, name), Ordering::Release);
        }
        stopped.stopping.store(true, Ordering::Release);
        stopped.hang_up(std::net::Shutdown::Write);
    })?;
    spawn("lease", move || followed.follow(tenancy))?;
    let mut open = None;
    let ended = holder.serve(frontend, &mut open);
    holder.seal();
    if let Some(device) = &mut open {
        holder.close(device);
    }
    ended
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(work);
    spawned.map(drop).map_err(Exit::OsErr.why("cannot start threads"))
}

/// Ends what a holder has left that was killed, by the gate for example at the end of a lease: the kernel's NBD client waits for ever for the answer
/// to what was under way, and whatever unmounts the file system waits with it.
///
/// # Errors
/// If the kernel refuses.
pub fn end(volume: &str, id: u64) -> Result<Exit, Failure> {
    journal::init();
    match alone(volume) {
        Ok(_lock) => nothing_is_left(volume, id).map(|()| Exit::Done),
        Err(failure) if failure.exit == Exit::TempFail => Ok(Exit::Done), // it is held: by the next one
        Err(failure) => Err(failure),
    }
}

/// What is found of a device when this one begins is an earlier life's, since there is one holder at a time.
fn alone(volume: &str) -> Result<std::fs::File, Failure> {
    let path = role::holder_path(volume);
    let failed = || format!("cannot lock {}", path.display());
    let made = std::fs::create_dir_all(role::FOLDER).and_then(|()| std::fs::File::create(&path));
    let lock = made.map_err(Exit::CantCreate.why(failed()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => {
            let message = format!(
                "volume {volume} is served by another process already: systemctl status hotspare-volume@{volume}"
            );
            Err(Failure::new(Exit::TempFail, message))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(Exit::OsErr.why(failed())(error)),
    }
}

/// R3: nobody is served while something of an earlier tenure may still be written through. Whoever has it open still has a device that fails
/// everything, for good: the kernel gives its number to nobody else.
fn nothing_is_left(volume: &str, id: u64) -> Result<(), Failure> {
    for name in kernel::left(volume, id) {
        let users = block::users(&kernel::dev(&name));
        kernel::end(&name).map_err(Exit::OsErr.why(format!("cannot end /dev/{name} of an earlier tenure")))?;
        if users.is_empty() {
            tracing::info!("{volume}: /dev/{name} of an earlier tenure is ended");
        } else {
            tracing::warn!(
                "{volume}: /dev/{name} of an earlier tenure is dead, and still in use: {}",
                users.join(", ")
            );
        }
    }
    Ok(())
}

impl Holder {
    fn is(&self, flag: &AtomicBool) -> bool {
        flag.load(Ordering::Acquire)
    }

    /// Promotes, and promotes again what comes after an engine that ended, until the tenure is over.
    fn serve(self: &Arc<Self>, frontend: Frontend, open: &mut Option<kernel::Device>) -> Result<Exit, Failure> {
        let mut gone_since: Option<Instant> = None;
        let mut ready = false;
        loop {
            let answered = self.promoted(&mut gone_since, |said| {
                match said {
                    Said::Serving(epoch) => {
                        if !ready {
                            *open = self.open(frontend)?;
                            ready = true;
                        }
                        notify::ready(&format!("served, epoch {epoch}"));
                    }
                    Said::Size(bytes) if ready => self.resize(open.as_ref(), bytes),
                    Said::Size(_) => {}
                }
                Ok(())
            });
            if self.is(&self.stopping) {
                return Ok(Exit::Done);
            }
            let Err(failure) = answered else { continue };
            let over = self.is(&self.sealed) || failure.exit != Exit::Unavailable;
            let away = gone_since.get_or_insert_with(Instant::now).elapsed();
            if over || !ready || away > ENGINE_PATIENCE {
                return Err(failure);
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// One life of the engine: `then` when it serves; returns when it is gone or says that it is over.
    fn promoted(
        &self,
        gone_since: &mut Option<Instant>,
        mut then: impl FnMut(Said) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut reader = connect(&self.volume, &Ask::Serve)?;
        if gone_since.is_some() {
            be_patient(&reader)?;
        }
        let socket = reader.get_ref().try_clone().map_err(Exit::OsErr.why("cannot use the socket"))?;
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        if self.is(&self.stopping) {
            self.hang_up(std::net::Shutdown::Write);
        }
        loop {
            match receive(&mut reader)? {
                Tell::Serving { epoch } => {
                    *gone_since = None;
                    then(Said::Serving(epoch))?;
                }
                Tell::Refused { reason } => {
                    let message = format!("volume {}: {reason}", self.volume);
                    return Err(Failure::new(Exit::TempFail, message));
                }
                Tell::Status(status) => {
                    be_patient(&reader)?; // an engine says so about once a second
                    then(Said::Size(status.bytes))?;
                }
                Tell::Verified { .. } | Tell::Resized { .. } => {}
            }
        }
    }

    /// The volume has become larger: so has the kernel's device, and what new clients are told.
    fn resize(&self, device: Option<&kernel::Device>, bytes: u64) {
        if bytes <= self.size.swap(bytes, Ordering::AcqRel) {
            return;
        }
        match device.map(|device| device.resize(&self.volume, bytes)) {
            Some(Err(error)) => {
                tracing::error!("{}: the kernel's device does not grow before the role has moved: {error}", self.volume)
            }
            _ => tracing::info!("{}: {bytes} bytes are shown", self.volume),
        }
    }

    /// Opens the way in for whoever uses the volume.
    fn open(self: &Arc<Self>, frontend: Frontend) -> Result<Option<kernel::Device>, Failure> {
        let volume = &self.volume;
        let mut device = None;
        let (engine, size) = engine(volume).map_err(Exit::Unavailable.why("cannot speak to the engine"))?;
        self.size.store(size, Ordering::Release);
        self.tell(Order::Engine(engine));
        if frontend == Frontend::Socket {
            println!("{}", role::nbd_path(volume).display());
        } else {
            let module = if frontend == Frontend::Ublk { "ublk_drv" } else { "nbd" };
            let help = format!("the kernel gives no block device (modprobe {module}; or `frontend \"socket\"`)");
            let (made, way) = kernel::Device::make(frontend, (volume, self.id), size).map_err(Exit::OsErr.why(help))?;
            match way {
                Way::Socket(socket) => self.take_stream(socket, true)?,
                Way::Queue(queue) => self.take_client(queue, true),
            }
            *self.device.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.name.clone());
            let made = device.insert(made);
            made.show().map_err(Exit::OsErr.why(format!("cannot show /dev/{}", made.name)))?;
            println!("{}", made.path.display());
        }
        let failed = Exit::CantCreate.why(format!("cannot make {}", role::nbd_path(volume).display()));
        let listener = role::bind(&role::nbd_path(volume), 0o600).map_err(failed)?;
        let holder = self.clone();
        spawn("clients", move || {
            for client in listener.incoming().flatten() {
                if let Err(error) = holder.clone().greet(client) {
                    tracing::warn!("an NBD client was turned away: {error}");
                }
            }
        })?;
        Ok(device)
    }

    fn greet(self: Arc<Self>, client: UnixStream) -> std::io::Result<()> {
        let open = self.clients.fetch_add(1, Ordering::AcqRel);
        let holder = self.clone();
        let greeted = if open >= nbd::CONNECTIONS_MAX {
            Err(nbd::bad(format!("there are {open} connections already")))
        } else {
            std::thread::Builder::new().name("greet".into()).spawn(move || holder.haggle(client)).map(drop)
        };
        if greeted.is_err() {
            self.clients.fetch_sub(1, Ordering::AcqRel);
        }
        greeted
    }

    fn haggle(&self, client: UnixStream) {
        let _ = client.set_read_timeout(Some(nbd::PATIENCE));
        match nbd::greet(&mut &client, self.size.load(Ordering::Acquire), !self.is(&self.sealed)) {
            Ok(true) if self.take_stream(client, false).is_ok() => return,
            Ok(_) => {}
            Err(error) => tracing::info!("an NBD client: {error}"),
        }
        self.clients.fetch_sub(1, Ordering::AcqRel);
    }

    fn take_stream(&self, client: UnixStream, device: bool) -> Result<(), Failure> {
        let client = Stream::new(client).map_err(Exit::OsErr.why("cannot use a socket"))?;
        self.take_client(Box::new(client), device);
        Ok(())
    }

    /// The tenure cannot go on without the kernel's `device`.
    fn take_client(&self, client: Box<dyn Client + Send>, device: bool) {
        if device {
            self.clients.fetch_add(1, Ordering::AcqRel); // any other was counted when it came
        }
        self.tell(Order::Client { client, device });
    }

    /// A relay that has ended needs nothing any more.
    fn tell(&self, order: Order) {
        let _ = self.post.send(order);
    }

    fn relay(&self, mut relay: Relay) {
        let why = match relay.run() {
            Ok(()) => "somebody has ended the kernel's device".to_owned(),
            Err(error) => format!("the engine is not understood: {error}"),
        };
        let failed = relay.fail_all();
        if !self.is(&self.stopping) && !self.is(&self.sealed) {
            tracing::error!("{}: {why}: the role ends here; {failed} requests under way fail", self.volume);
            self.sealed.store(true, Ordering::Release);
            self.hang_up(std::net::Shutdown::Both);
        }
    }

    /// Gives the relay an engine each time that it has lost one, as soon as there is another. A greeting may take long, where an engine hangs:
    /// not in the relay's thread.
    fn find_engines(&self, lost: &Receiver<()>) {
        while lost.recv().is_ok() {
            while !self.is(&self.sealed) {
                std::thread::sleep(AGAIN); // one that hung up is not asked at once again
                if let Ok((stream, _)) = engine(&self.volume) {
                    self.tell(Order::Engine(stream));
                    break;
                }
            }
        }
    }

    /// Reads the lease's page when it is time for the kill step, whether or not the engine is able to.
    fn follow(&self, mut tenancy: Tenancy) {
        while tenancy.look(clock::now()) != Standing::Over {
            let now = clock::now();
            clock::sleep_until(now.boot + hotspare_core::time::nanos(tenancy.until_step(now, false)));
        }
        if !self.is(&self.stopping) {
            self.seal();
            self.hang_up(std::net::Shutdown::Both);
        }
    }

    fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        let (count, counted) = channel();
        self.tell(Order::Seal(count));
        let failed = counted.recv_timeout(SEAL_PATIENCE).unwrap_or(0); // a relay that has ended has answered everything
        if failed > 0 {
            tracing::warn!("{}: sealed: {failed} requests under way fail", self.volume);
        }
    }

    fn hang_up(&self, how: std::net::Shutdown) {
        if let Some(socket) = &*self.control.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = socket.shutdown(how);
        }
    }

    fn close(&self, device: &mut kernel::Device) {
        let users = if self.is(&self.settled) { Vec::new() } else { device.users() };
        if !users.is_empty() {
            tracing::error!("{}: {} is still in use: {}", self.volume, device.name, users.join(", "));
        }
        if let Err(error) = device.end() {
            tracing::error!("{}: cannot end {}: {error}", self.volume, device.name);
        }
    }
}

/// From now on an engine that says nothing for too long counts as gone. One that is killed while a thread of it waits for a disk that hangs is
/// neither there nor gone: its sockets stay open.
fn be_patient(reader: &BufReader<UnixStream>) -> Result<(), Failure> {
    reader.get_ref().set_read_timeout(Some(ENGINE_PATIENCE)).map_err(Exit::OsErr.why("cannot use the socket"))
}

/// A connection to the engine, past its greeting, and the size of the volume.
fn engine(volume: &str) -> std::io::Result<(UnixStream, u64)> {
    let stream = UnixStream::connect(role::engine_path(volume))?;
    let size = nbd::join(&mut &stream)?;
    Ok((stream, size))
}
