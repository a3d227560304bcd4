//! `hotspare-replicate serve`: the unit of the role, and the holder of what its user has open. It keeps each request until it is
//! answered, so that the engine (network, metadata, other copies) can crash, hang and be upgraded meanwhile; it has nothing that
//! could crash: no network, no disk, no format but NBD's 28 bytes.
//!
//! ```text
//!  file system --- /dev/hotspare/NAME --- kernel --- socket --.
//!  QEMU, libnbd --- NAME.nbd --------------------- socket ---+-- Relay (one for each) -- NAME.engine -- the engine
//! ```
//! When the tenure is over, everything fails (R10): told so by the engine, or read from the lease's page by itself.

mod kernel;
mod relay;

use crate::lease::{Standing, Tenancy};
use crate::nbd;
use crate::role::{self, Ask, Tell};
use crate::serve::{connect, receive};
use hotspare_config::Frontend;
use hotspare_core::NodeId;
use hotspare_daemon::{Exit, Failure, journal, notify};
use nix::sys::signal::{SigSet, Signal};
use relay::Relay;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an engine that has ended may stay away: its unit starts it again after a tenth of a second.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to reach it.
const AGAIN: Duration = Duration::from_millis(20);

/// What is held.
struct Holder {
    volume: String,
    /// In bytes, once the engine has said so.
    size: AtomicU64,
    relays: Mutex<Vec<Arc<Relay>>>,
    /// Requests fail from now on.
    sealed: AtomicBool,
    /// Told to stop.
    stopping: AtomicBool,
    /// The engine is spoken to here.
    control: Mutex<Option<UnixStream>>,
}

/// Has the volume served until it is told to stop, or cannot be any more.
///
/// # Errors
/// If it cannot be.
pub fn hold(volume: &str, (group, me): (&str, NodeId), frontend: Frontend) -> Result<Exit, Failure> {
    let mut set = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT].into_iter().for_each(|signal| set.add(signal));
    set.thread_block().map_err(Exit::OsErr.why("cannot handle signals"))?;
    journal::init();
    crate::steady();
    let tenancy = Tenancy::open(group, me);
    let tenancy = tenancy.map_err(|why| Failure::new(Exit::TempFail, format!("volume {volume}: {why}")))?;
    nothing_is_left(volume)?;
    let holder = Arc::new(Holder {
        volume: volume.to_owned(),
        size: AtomicU64::new(0),
        relays: Mutex::default(),
        sealed: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        control: Mutex::new(None),
    });
    let (stopped, followed) = (holder.clone(), holder.clone());
    spawn("signals", move || {
        let _ = set.wait();
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

/// R3: nobody is served while something of an earlier tenure may still be written through.
fn nothing_is_left(volume: &str) -> Result<(), Failure> {
    for name in kernel::left(volume) {
        let users = kernel::users(&name);
        if !users.is_empty() {
            let message = format!("volume {volume}: /dev/{name} of an earlier tenure is in use: {}", users.join(", "));
            return Err(Failure::new(Exit::TempFail, message));
        }
        tracing::info!("{volume}: /dev/{name} of an earlier tenure is ended");
        kernel::disconnect(&name).map_err(Exit::OsErr.why(format!("cannot end /dev/{name} of an earlier tenure")))?;
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
            let answered = self.promoted(&mut gone_since, |epoch| {
                if !ready {
                    *open = self.open(frontend)?;
                    ready = true;
                }
                notify::ready(&format!("served, epoch {epoch}"));
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
        mut then: impl FnMut(u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut reader = connect(&self.volume, &Ask::Serve)?;
        let socket = reader.get_ref().try_clone().map_err(Exit::OsErr.why("cannot use the socket"))?;
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        if self.is(&self.stopping) {
            self.hang_up(std::net::Shutdown::Write);
        }
        loop {
            match receive(&mut reader)? {
                Tell::Serving { epoch } => {
                    *gone_since = None;
                    then(epoch)?;
                }
                Tell::Refused { reason } => {
                    let message = format!("volume {}: {reason}", self.volume);
                    return Err(Failure::new(Exit::TempFail, message));
                }
                Tell::Status(_) | Tell::Verified { .. } => {}
            }
        }
    }

    /// Opens the way in for whoever uses the volume.
    fn open(self: &Arc<Self>, frontend: Frontend) -> Result<Option<kernel::Device>, Failure> {
        let volume = &self.volume;
        let mut device = None;
        let size = engine(volume).map_err(Exit::Unavailable.why("cannot speak to the engine"))?.1;
        self.size.store(size, Ordering::Release);
        if frontend == Frontend::Nbd {
            let help = "the kernel's NBD client cannot be used (modprobe nbd; or `frontend \"socket\"`)";
            let (made, socket) = kernel::Device::connect(volume, size).map_err(Exit::OsErr.why(help))?;
            self.clone().take_client(socket, true)?;
            let made = device.insert(made);
            made.label(volume).map_err(Exit::OsErr.why(format!("cannot name /dev/{}", made.name)))?;
            println!("{}", made.path.display());
        } else {
            println!("{}", role::nbd_path(volume).display());
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
        let sealed = self.is(&self.sealed);
        let open = self.relays.lock().unwrap_or_else(PoisonError::into_inner).len();
        if open >= nbd::CONNECTIONS_MAX {
            return Err(nbd::bad(format!("there are {open} connections already")));
        }
        std::thread::Builder::new().name("greet".into()).spawn(move || {
            let greeted = nbd::greet(&mut &client, self.size.load(Ordering::Acquire), !sealed);
            match greeted {
                Ok(true) => drop(self.take_client(client, false)),
                Ok(false) => {}
                Err(error) => tracing::info!("an NBD client: {error}"),
            }
        })?;
        Ok(())
    }

    /// Two threads for each client: what it asks, and what it is answered. The tenure cannot go on without the kernel's `device`.
    fn take_client(self: Arc<Self>, client: UnixStream, device: bool) -> Result<(), Failure> {
        let failed = || Exit::OsErr.why("cannot use a socket");
        let relay = Arc::new(Relay::new(client.try_clone().map_err(failed())?));
        let gone = Arc::new(AtomicBool::new(false));
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).push(relay.clone());
        if self.is(&self.sealed) {
            relay.seal();
        }
        let (taking, left, holder) = (relay.clone(), gone.clone(), self.clone());
        spawn("client", move || {
            if let Err(error) = taking.take_in(&client)
                && error.kind() != std::io::ErrorKind::UnexpectedEof
            {
                tracing::info!("an NBD client: {error}");
            }
            left.store(true, Ordering::Release);
            taking.hang_up();
            if device && !holder.is(&holder.stopping) && !holder.is(&holder.sealed) {
                tracing::error!("{}: somebody has ended the kernel's device: the role ends here", holder.volume);
                holder.seal();
                holder.hang_up(std::net::Shutdown::Both);
            }
        })?;
        spawn("answers", move || {
            while !gone.load(Ordering::Acquire) && !self.is(&self.sealed) {
                let Ok((engine, _)) = engine(&self.volume) else {
                    std::thread::sleep(AGAIN);
                    continue;
                };
                let Ok(asking) = engine.try_clone() else { continue };
                // What was kept is asked again while answers are passed on already: the engine may not read on before.
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        relay.resume(asking);
                        if gone.load(Ordering::Acquire) {
                            relay.hang_up(); // it left before there was an engine to hang up on
                        }
                    });
                    if let Err(error) = relay.pass_on(&engine) {
                        tracing::info!("an NBD client: {error}");
                    }
                    let _ = engine.shutdown(std::net::Shutdown::Both);
                });
                std::thread::sleep(AGAIN); // it hung up: not at once again
            }
            let mut relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
            relays.retain(|other| !Arc::ptr_eq(other, &relay) || self.is(&self.sealed));
        })
    }

    /// Reads the lease's page when it is time for the kill step, whether or not the engine is able to.
    fn follow(&self, mut tenancy: Tenancy) {
        while tenancy.look() != Standing::Over {
            std::thread::sleep(tenancy.until_step(false));
        }
        if !self.is(&self.stopping) {
            self.seal();
            self.hang_up(std::net::Shutdown::Both);
        }
    }

    fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        let relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        let failed: usize = relays.iter().map(|relay| relay.seal()).sum();
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
        let users = device.users();
        if !users.is_empty() {
            tracing::error!("{}: {} is still in use: {}", self.volume, device.name, users.join(", "));
        }
        if let Err(error) = device.disconnect() {
            tracing::error!("{}: cannot end {}: {error}", self.volume, device.name);
        }
    }
}

/// A connection to the engine, past its greeting, and the size of the volume.
fn engine(volume: &str) -> std::io::Result<(UnixStream, u64)> {
    let stream = UnixStream::connect(role::engine_path(volume))?;
    let size = nbd::join(&mut &stream)?;
    Ok((stream, size))
}
