//! hotspare-heartbeat: socket, clock, bus and listeners around `hotspare_core::heartbeat`. Decides nothing.

mod args;
mod disk;
mod peers;
mod pill;

use args::{Args, Command};
use hotspare_bus::heartbeat1::{self, Heartbeat1};
use hotspare_config::{Config, Node};
use hotspare_control::{Ask, Client, HEARTBEAT};
use hotspare_core::Stamp;
use hotspare_daemon::datagrams::{Datagrams, Port, routes};
use hotspare_daemon::{Exit, Failure, clock, identity, journal, notify, run};
use hotspare_wire::disk::{DiskBeat, Pill};
use hotspare_wire::{Endpoint, Service, decode_beat, encode_beat};
use peers::Peers;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;
use tokio::sync::mpsc::{Receiver, channel};

/// Events that a slow listener may fall behind; after that it is told how many it missed.
const BACKLOG: usize = 256;
const LISTENERS_MAX: usize = 32;

fn main() -> ExitCode {
    run(|args: Args| {
        if let Some(Command::Listen { json, once }) = args.command {
            return listen(json, once);
        }
        let config = hotspare_config::load(&args.config)?;
        if let Some(Command::Format { again }) = args.command {
            return disk::format(&config, again);
        }
        let me = identity::this_node(&config, args.node.as_deref())?.clone();
        let key = identity::key_of(&me)?;
        if args.check {
            println!("{}: node {} of cluster {}", args.config.display(), me.name, config.cluster);
            return Ok(Exit::Done);
        }
        journal::init();
        let endpoint = identity::endpoint(&config, &key, Service::Heartbeat, config.heartbeat.interval * 2);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(Exit::OsErr.why("cannot start"))?.block_on(serve(&config, &me, endpoint))
    })
}

async fn serve(config: &Config, me: &Node, mut endpoint: Endpoint) -> Result<Exit, Failure> {
    let port = Port::Heartbeat.number(config);
    let socket = Datagrams::bind(port, config);
    let mut socket = socket.map_err(Exit::Unavailable.why(format!("cannot listen on UDP port {port}")))?;
    let routes = routes(config, me, Port::Heartbeat);
    let mut shared = Shared::open(config, me);
    let mut peers = Peers::new(config, me, shared.thread.is_some(), clock::now());
    let (events, _) = broadcast::channel::<String>(BACKLOG);
    let mut asks = accept(&events);
    let boot = clock::boot_digest().map_err(Exit::OsErr.why("cannot read the boot's id"))?;
    let (bus, updates) = channel(16);
    tokio::spawn(publish(peers.published(), updates));
    let mut terminate = signal(SignalKind::terminate()).map_err(Exit::OsErr.why("cannot handle signals"))?;
    let mut beat = tokio::time::interval(peers.interval());
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    notify::ready("listening");
    loop {
        let mut buffer = [0; 2048];
        let mut changed = Vec::new();
        tokio::select! {
            biased;
            received = socket.receive(&mut buffer) => {
                let (length, _) = received.map_err(Exit::OsErr.why("the network socket failed"))?;
                let now = clock::now();
                let received = endpoint.receive(Duration::from_nanos(now.boot), &buffer[..length]);
                for (node, bytes) in received.send {
                    socket.send(&bytes, routes.get(&node).map_or(&[], Vec::as_slice));
                }
                if let Some((from, bytes)) = received.message {
                    match decode_beat(&bytes) {
                        Ok(beat) => changed = peers.on_beat(now, from, &beat),
                        Err(error) => tracing::warn!("cannot read a beat of {}: {error}", config.node_name(from)),
                    }
                }
            }
            _ = beat.tick() => {
                let now = clock::now();
                changed = peers.tick(now);
                for (node, address, beat) in peers.beats(now) {
                    for datagram in endpoint.send(Duration::from_nanos(now.boot), node, encode_beat(&beat)) {
                        socket.send(&datagram, &[SocketAddr::new(address, port)]);
                    }
                }
                shared.beat(|| peers.disk_beat(me.id, boot), now);
                notify::alive();
            }
            Some(found) = shared.read() => {
                let now = clock::now();
                changed = peers.on_disk(now, me.id, &found.beats, found.took);
                if let Some(pill) = shared.take(found) {
                    pill::swallow(config, pill);
                }
            }
            Some((once, stream)) = asks.recv() => answer(stream, once, peers.snapshot(clock::now()), events.subscribe()),
            _ = terminate.recv() => return Ok(Exit::Done),
        }
        if !changed.is_empty() {
            for event in changed {
                let _ = events.send(event.to_string()); // nobody listens: nobody is told
            }
            notify::status(&peers.summary());
            let _ = bus.try_send(peers.published());
        }
    }
}

/// The disk of all nodes, if there is one, and how well it does.
struct Shared {
    thread: Option<(SyncSender<DiskBeat>, Receiver<disk::Read>)>,
    late: Duration,
    /// When the thread took the beat that it has not come back from.
    since: Option<Stamp>,
    /// That it is slow or fails has been said.
    told: bool,
}

impl Shared {
    fn open(config: &Config, me: &Node) -> Shared {
        let disk = config.disk.as_ref().map(|_| disk::Disk::passed(config, me.id));
        let disk =
            disk.and_then(|disk| disk.inspect_err(|why| tracing::warn!("no heartbeats over the disk: {why}")).ok());
        Shared { thread: disk.map(disk::Disk::serve), late: config.heartbeat.late, since: None, told: false }
    }

    /// Hands the thread a beat, if it waits for one.
    fn beat(&mut self, beat: impl FnOnce() -> DiskBeat, now: Stamp) {
        let Some((asks, _)) = &self.thread else { return };
        let waits = self.since.map(|since| now.longest_since(since));
        if let Some(waits) = waits.filter(|waits| *waits > self.late / 2 && !self.told) {
            self.told = true;
            tracing::warn!("the disk for heartbeats takes its time: {waits:?}; a beat is late after {:?}", self.late);
        }
        if self.since.is_none() && asks.try_send(beat()).is_ok() {
            self.since = Some(now);
        }
    }

    async fn read(&mut self) -> Option<disk::Read> {
        match &mut self.thread {
            Some((_, read)) => read.recv().await,
            None => std::future::pending().await,
        }
    }

    /// What this node was told to do, if anything.
    fn take(&mut self, found: disk::Read) -> Option<Pill> {
        self.since = None;
        match &found.failed {
            Some(why) if !self.told => tracing::warn!("the disk for heartbeats fails: {why}"),
            None if self.told && found.took < self.late / 2 => tracing::info!("the disk for heartbeats is well again"),
            _ => {}
        }
        self.told = found.failed.is_some() || found.took >= self.late / 2;
        found.pill
    }
}

/// Takes callers in; the loop gets those that asked something sensible. `true`: the state only.
fn accept(_events: &broadcast::Sender<String>) -> Receiver<(bool, UnixStream)> {
    let (sender, receiver) = channel(LISTENERS_MAX);
    let path = Path::new(HEARTBEAT);
    let _ = std::fs::remove_file(path);
    let listener = match UnixListener::bind(path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!("nobody can listen: {}: {error}", path.display());
            return receiver;
        }
    };
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let asked = tokio::time::timeout(Duration::from_secs(1), stream.read_line(&mut line)).await;
                let once = match asked.ok().and_then(|_| serde_json::from_str(&line).ok()) {
                    Some(Ask::Status) => true,
                    Some(Ask::Listen) => false,
                    _ => return,
                };
                let _ = sender.try_send((once, stream.into_inner()));
            });
        }
    });
    receiver
}

fn answer(mut stream: UnixStream, once: bool, state: Vec<Json>, mut events: broadcast::Receiver<String>) {
    tokio::spawn(async move {
        let mut text: String = state.iter().map(|line| format!("{line}\n")).collect();
        loop {
            if stream.write_all(text.as_bytes()).await.is_err() || once {
                return;
            }
            text = match events.recv().await {
                Ok(event) => format!("{event}\n"),
                Err(broadcast::error::RecvError::Lagged(missed)) => format!("{{\"missed\":{missed}}}\n"),
                Err(broadcast::error::RecvError::Closed) => return,
            };
        }
    });
}

type Published = Vec<(String, Heartbeat1)>;

/// Keeps the bus up to date, for ever; a bus that is gone is tried again.
async fn publish(mut state: Published, mut updates: Receiver<Published>) {
    loop {
        if let Err(error) = publish_once(&mut state, &mut updates).await {
            tracing::debug!("no bus: {error}");
        }
        if updates.is_closed() && updates.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        while let Ok(newer) = updates.try_recv() {
            state = newer;
        }
    }
}

async fn publish_once(state: &mut Published, updates: &mut Receiver<Published>) -> zbus::Result<()> {
    let connection = zbus::Connection::system().await?;
    for (name, peer) in state.iter() {
        connection.object_server().at(heartbeat1::path(name), peer.clone()).await?;
    }
    if let Err(error) = connection.request_name(heartbeat1::NAME).await {
        tracing::warn!("not published as {} on the bus: {error}", heartbeat1::NAME);
    }
    while let Some(newer) = updates.recv().await {
        for (name, peer) in &newer {
            let interface = connection.object_server().interface::<_, Heartbeat1>(heartbeat1::path(name)).await?;
            interface.get_mut().await.update(peer.clone(), interface.signal_emitter()).await?;
        }
        *state = newer;
    }
    Ok(())
}

/// `hotspare-heartbeat listen`: for people and shell scripts.
fn listen(json: bool, once: bool) -> Result<Exit, Failure> {
    let unavailable = |error| Failure::new(Exit::Unavailable, error);
    let mut client = Client::connect(Path::new(HEARTBEAT), "hotspare-heartbeat").map_err(unavailable)?;
    client.send(if once { &Ask::Status } else { &Ask::Listen }).map_err(unavailable)?;
    loop {
        let line = match client.line() {
            Ok(line) => line,
            Err(hotspare_control::ControlError::HungUp) if once => return Ok(Exit::Done),
            Err(error) => return Err(unavailable(error)),
        };
        let shown = if json { line } else { words(&line) };
        use std::io::Write;
        if std::io::stdout().write_all(shown.as_bytes()).and_then(|()| std::io::stdout().flush()).is_err() {
            return Ok(Exit::Done); // the reader of the pipe has seen enough
        }
    }
}

fn words(line: &str) -> String {
    let event: Json = serde_json::from_str(line).unwrap_or_default();
    if let Some(missed) = event["missed"].as_u64() {
        return format!("({missed} events were missed)\n");
    }
    let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
    let rtt = event["round_trip_usec"].as_u64().map_or("-".into(), |usec| format!("{usec} us"));
    let heard = if event["hears_us"].as_bool() == Some(true) { "hears us" } else { "does not hear us" };
    let was = event["was"].as_str().map(|was| format!(" (was {was})")).unwrap_or_default();
    let loss = event["loss_percent"].as_u64().unwrap_or(0);
    format!("{} {} {}{was}, {heard}, round trip {rtt}, loss {loss} %\n", text("peer"), text("link"), text("state"))
}
