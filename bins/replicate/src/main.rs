//! hotspare-replicate: a copy of a volume. The rules are `hotspare_volume`; around them are a disk, an NBD socket, connections to
//! the other copies, and the lease client's word on which copies count.

mod args;
mod backing;
mod buffer;
mod bus;
mod clients;
mod create;
mod disk;
mod engine;
mod holder;
mod leased;
mod length;
mod nbd;
mod own;
mod peers;
mod progress;
mod ring;
mod role;
mod serve;
mod sockets;
mod story;

use args::{Act, Args};
use backing::Backing;
use engine::{Engine, News};
use hotspare_config::{Config, Group, Node, Place, Volume as Described};
use hotspare_core::NodeId;
use hotspare_daemon::{Exit, Failure, clock, identity, journal, notify, run};
use hotspare_volume::{Lag, Volume, VolumeConfig};
use nix::sys::signal::{SigSet, Signal};
use sockets::Poll;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long a copy that counts is waited for: an upgrade of its daemon takes less.
const GRACE: Duration = Duration::from_secs(2);
/// At the beginning of a tenure, the former primary.
const TAKEOVER_GRACE: Duration = Duration::from_millis(500);
/// Disks retry for seconds before they say no; with a whole copy elsewhere nobody has to wait for the end of that.
const DISK_PATIENCE: Duration = Duration::from_secs(5);
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// What is left alone for so long costs nothing after a crash.
const COOL_AFTER: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == holder::settle::WORD) {
        return holder::settle::write_all(&words.map(PathBuf::from).collect::<Vec<_>>());
    }
    run(|args: Args| {
        let config = hotspare_config::load(&args.config)?;
        match &args.act {
            Act::Serve { volume } => {
                let (group, described) = described(&config, volume)?;
                identity::this_node(&config, args.node.as_deref())?; // else it would seem to lead elsewhere
                holder::hold(described, &group.name)
            }
            Act::End { volume } => {
                let described = described(&config, volume)?.1;
                holder::end(&described.name, described.id)
            }
            Act::Verify { volume } => serve::verify(&described(&config, volume)?.1.name),
            Act::Resize { volume } => serve::resize(described(&config, volume)?.1),
            Act::Status { volume, json } => serve::status(&described(&config, volume)?.1.name, *json),
            Act::Create { volume, first, again, format } => {
                let (group, described) = described(&config, volume)?;
                let me = identity::this_node(&config, args.node.as_deref())?;
                let making = create::Making { first: *first, again: *again, format: format.as_deref() };
                create::create(group, described, me, &making)
            }
            Act::Run { volume } => {
                let (group, described) = described(&config, volume)?;
                let me = identity::this_node(&config, args.node.as_deref())?;
                replicate(&config, group, described, me)
            }
        }
    })
}

/// Under memory pressure the kernel writes to the volume to have memory again: whatever is on the way of that write must not wait for
/// memory itself (replicate.md 3). Called before there are threads: they inherit it.
pub fn steady() {
    use rustix::mm::{MlockAllFlags, mlockall};
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        tracing::warn!("memory is not locked, and may be swapped out: {error}");
    }
    if let Err(error) = rustix::process::configure_io_flusher_behavior(true) {
        tracing::warn!("no I/O flusher: under memory pressure this may wait for itself: {error}");
    }
}

fn described<'a>(config: &'a Config, name: &str) -> Result<(&'a Group, &'a Described), Failure> {
    config.volume(name).ok_or_else(|| {
        let known: Vec<&str> = config.volumes().map(|(_, volume)| volume.name.as_str()).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Failure::new(Exit::Config, format!("the configuration has no volume \"{name}\" (it has: {known})"))
    })
}

/// Where this node's copy is.
pub fn place<'a>(group: &Group, volume: &'a Described, me: &Node) -> Result<&'a Place, Failure> {
    volume.backings.get(&me.name).ok_or_else(|| {
        let message = format!("{} is no candidate of {}, and has no copy of \"{}\"", me.name, group.name, volume.name);
        Failure::new(Exit::Config, message)
    })
}

fn replicate(config: &Config, group: &Group, described: &Described, me: &Node) -> Result<Exit, Failure> {
    let place = place(group, described, me)?;
    let key = identity::key_of(me)?;
    let mut set = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT].into_iter().for_each(|signal| set.add(signal));
    set.thread_block().map_err(Exit::OsErr.why("cannot handle signals"))?;
    journal::init();
    steady();
    let mut backing = Backing::open(place)?;
    let shown = backing.path().display().to_string();
    let folder = std::path::Path::new(length::FOLDER);
    let noted = length::noted(folder, &described.name);
    if let Some(own) = backing.own() {
        own.belongs().and_then(|()| own.only(noted)).map_err(|why| Failure::new(Exit::DataErr, why))?;
    }
    let noted = backing.length(noted);
    length::not_shorter(&shown, noted, backing.total)?;
    let superblock = backing.find(noted).map_err(Exit::IoErr.why(format!("{shown}: cannot read the metadata")))?;
    let (sequence, mut content) = superblock
        .map_err(|why| create::unusable(&shown, &described.name, why, noted.is_some() || backing.own().is_some()))?;
    create::belongs(&shown, &content, described, me, backing.room)?;
    let failed = || Exit::IoErr.why(format!("{shown}: cannot write the metadata"));
    let (mut sequence, moved) = backing.move_to_end((sequence, &content), noted).map_err(failed())?;
    if moved {
        let room = backing.room;
        tracing::info!("{shown} is larger: room for {room} bytes (hotspare-replicate resize {})", described.name);
    }
    if backing.own().is_none()
        && (moved || noted.is_none())
        && let Err(error) = length::note(folder, &described.name, backing.total)
    {
        tracing::error!("{}: {error}", length::path(folder, &described.name).display());
    }
    let takes_over = create::takes_over(&mut content, described, me);
    let took_in = create::take_in(&backing, &mut content, group, me).map_err(failed())?;
    if takes_over || took_in {
        sequence += 1;
        let (at, bytes) = hotspare_volume::layout::superblock(sequence, &content);
        backing.write_meta(at, &bytes).map_err(failed())?;
    }
    if takes_over {
        tracing::warn!("{}: an operator gave up what this copy lacks: the data is what is here", described.name);
    }
    if took_in {
        tracing::info!("{}: the group has another candidate: all of the volume is copied there", described.name);
    }
    let (room, bits) = (backing.room, backing.bits(&content));
    let others: Vec<&String> =
        group.candidates.iter().filter(|name| **name != me.name && !config.is_lost(name)).collect();
    let volume_config = VolumeConfig {
        grace: GRACE,
        takeover_grace: TAKEOVER_GRACE,
        flush_every: FLUSH_EVERY,
        disk_patience: DISK_PATIENCE,
        cool_after: COOL_AFTER,
        others: others.iter().map(|name| NodeId::of(name)).collect(),
        asynchronous: described.asynchronous.nodes.iter().map(|name| NodeId::of(name)).collect(),
        lag: Lag { bytes: described.asynchronous.lag_bytes, span: described.asynchronous.lag },
    };
    let now = Duration::from_nanos(clock::now().boot);
    let extents = content.geometry(room).extents();
    let volume = Volume::new(volume_config, now, (sequence, content), bits);
    let (poll, sender, news) = Poll::new().map_err(Exit::OsErr.why("cannot wait for anything"))?;
    let disk = disk::Disk::start(backing, &sender, &poll).map_err(Exit::OsErr.why("cannot start threads"))?;
    let boxed = |what: &str| Exit::CantCreate.why(format!("cannot make {what} in {}", role::FOLDER));
    let control = role::bind(&role::path(&described.name), 0o600).map_err(boxed("the control socket"))?;
    let nbd = role::bind(&role::engine_path(&described.name), 0o600).map_err(boxed("the NBD socket"))?;
    let (words, said) = channel();
    let serving = Arc::new(AtomicBool::new(false));
    let size = Arc::new(AtomicU64::new(content.size));
    let door = Arc::new(nbd::Door { size: size.clone(), serving: serving.clone(), post: sender.clone() });
    let peers: BTreeMap<NodeId, _> = others
        .into_iter()
        .filter_map(|name| config.node(name))
        .map(|node| (node.id, (node.key, node.links.clone())))
        .collect();
    let party = peers::Party {
        key,
        cluster: identity::cluster_of(config),
        volume: described.id,
        port: described.port,
        me: me.id,
        peers,
        post: sender.clone(),
        sessions: AtomicU64::new(clock::now().boot),
    };
    peers::start(Arc::new(party))
        .map_err(Exit::Unavailable.why(format!("cannot listen on TCP port {}", described.port)))?;
    let (names, follower) = ((group.name.clone(), described.name.clone()), sender.clone());
    let threads = [
        std::thread::Builder::new()
            .name("leased".into())
            .spawn(move || leased::follow((&names.0, &names.1), &said, &follower)),
        std::thread::Builder::new().name("callers".into()).spawn({
            let sender = sender.clone();
            move || role::listen(control, sender)
        }),
        std::thread::Builder::new().name("nbd".into()).spawn(move || nbd::listen(nbd, door)),
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let _ = set.wait();
            let _ = sender.send(News::Terminate);
        }),
    ];
    threads.into_iter().collect::<Result<Vec<_>, _>>().map_err(Exit::OsErr.why("cannot start threads"))?;
    let names = (config.clone(), group.name.clone(), described.name.clone());
    let told = bus::start(&described.name).map_err(Exit::OsErr.why("cannot start threads"))?;
    let mut engine = Engine::new(names, shown, me.id, (volume, disk), (serving, size, words, told));
    engine.extents = extents;
    notify::ready("takes in what another node writes");
    engine.run(&poll, &news);
    Ok(Exit::Done)
}
