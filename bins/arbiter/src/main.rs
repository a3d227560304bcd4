//! hotspare-arbiter: the voter. Sockets, timers and disk; the rules are `hotspare_core::voter`.
//!
//! The loop never waits for anything but a datagram, a timer, or its own disk: a promise is on disk before it is sent.

mod args;
mod cluster;
mod memory;
mod seat;
mod store;

use args::Args;
use cluster::{ClusterVoter, Outgoing};
use hotspare_daemon::alarm::Alarm;
use hotspare_daemon::datagrams::{Datagrams, Port};
use hotspare_daemon::{Exit, Failure, Priority, clock, journal, message_id, notify, record, run};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

/// The loop turns at least this often, to feed the watchdog.
const TURN: u64 = 500_000_000;

fn main() -> ExitCode {
    run(|args: Args| {
        let clusters = open(&args)?;
        if args.check {
            clusters.iter().for_each(|cluster| println!("{}", cluster.status(clock::now())));
            return Ok(Exit::Done);
        }
        journal::init();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(Exit::OsErr.why("cannot start"))?.block_on(serve(clusters))
    })
}

fn open(args: &Args) -> Result<Vec<ClusterVoter>, Failure> {
    let mut files = args.config.clone();
    if let Ok(folder) = std::fs::read_dir(&args.config_dir) {
        let more = folder.flatten().map(|entry| entry.path());
        let mut more: Vec<PathBuf> = more.filter(|path| path.extension().is_some_and(|kdl| kdl == "kdl")).collect();
        more.sort();
        // A machine that only votes may have no cluster of its own.
        if !more.is_empty() && files == [Path::new(hotspare_config::PATH)] && !files[0].exists() {
            files.clear();
        }
        files.extend(more);
    }
    let folder = |given: &Option<PathBuf>, variable: &str, default: &str| {
        given.clone().or_else(|| std::env::var_os(variable).map(PathBuf::from)).unwrap_or_else(|| default.into())
    };
    let state = folder(&args.state, "STATE_DIRECTORY", "/var/lib/hotspare-arbiter");
    let run = folder(&None, "RUNTIME_DIRECTORY", "/run/hotspare-arbiter");
    files
        .iter()
        .map(|file| ClusterVoter::open(hotspare_config::load(file)?, args.node.as_deref(), &state, &run))
        .collect()
}

async fn serve(mut clusters: Vec<ClusterVoter>) -> Result<Exit, Failure> {
    let mut sockets = Vec::new();
    for cluster in &clusters {
        let port = Port::Arbiter.number(&cluster.config);
        if sockets.iter().all(|(bound, _)| *bound != port) {
            let socket = Datagrams::bind(port, &cluster.config);
            sockets.push((port, socket.map_err(Exit::Unavailable.why(format!("cannot listen on UDP port {port}")))?));
        }
    }
    let control = listen_for_status();
    let mut terminate = signal(SignalKind::terminate()).map_err(Exit::OsErr.why("cannot handle signals"))?;
    let names: Vec<_> = clusters.iter().map(|cluster| cluster.config.cluster.as_str()).collect();
    let message = format!("voting in {}", names.join(", "));
    notify::ready(&message);
    record(message_id::ARBITER_READY, Priority::Info, message, &[]);
    for (group, why) in clusters.iter().flat_map(ClusterVoter::joining) {
        tracing::info!("{group}: {why}");
    }
    let mut alarm = Alarm::new().map_err(Exit::OsErr.why("cannot make a timer"))?;
    loop {
        let now = clock::now();
        let due = clusters.iter().filter_map(|cluster| cluster.wake_at(now)).min();
        let due = due.unwrap_or(u64::MAX).min(now.boot + TURN);
        let mut buffer = [0; 2048];
        let arrived = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(Exit::Done),
            (socket, length) = any_datagram(&sockets, &mut buffer) => Some((socket, length?)),
            () = answer_status(control.as_ref(), &clusters) => None,
            rung = alarm.until(due) => rung.map(|()| None).map_err(Exit::OsErr.why("the timer failed"))?,
        };
        let now = clock::now();
        let mut outgoing: Vec<(usize, Outgoing)> = Vec::new();
        if let Some((_, length)) = arrived {
            let datagram = &buffer[..length];
            if let Some(cluster) = clusters.iter_mut().find(|cluster| cluster.owns(datagram)) {
                let socket = socket_of(&sockets, cluster);
                outgoing.extend(cluster.receive(now, datagram)?.into_iter().map(|out| (socket, out)));
            }
        }
        for cluster in &mut clusters {
            let socket = socket_of(&sockets, cluster);
            outgoing.extend(cluster.tick(now)?.into_iter().map(|out| (socket, out)));
        }
        for (socket, (bytes, to)) in outgoing {
            sockets[socket].1.send(&bytes, &to);
        }
        notify::alive();
    }
}

fn socket_of(sockets: &[(u16, Datagrams)], cluster: &ClusterVoter) -> usize {
    let port = Port::Arbiter.number(&cluster.config);
    sockets.iter().position(|(bound, _)| *bound == port).expect("bound for each cluster")
}

async fn any_datagram(sockets: &[(u16, Datagrams)], buffer: &mut [u8; 2048]) -> (usize, Result<usize, Failure>) {
    // Nearly always one socket; with several, each is polled in turn.
    let mut buffers: Vec<[u8; 2048]> = vec![[0; 2048]; sockets.len()];
    let mut waiting: Vec<_> =
        sockets.iter().zip(&mut buffers).map(|((_, socket), buffer)| Box::pin(socket.receive(buffer))).collect();
    let (index, received) = std::future::poll_fn(|context| {
        for (index, future) in waiting.iter_mut().enumerate() {
            if let std::task::Poll::Ready(received) = future.as_mut().poll(context) {
                return std::task::Poll::Ready((index, received));
            }
        }
        std::task::Poll::Pending
    })
    .await;
    drop(waiting);
    let received = received.map_err(Exit::OsErr.why("the network socket failed"));
    (
        index,
        received.map(|(length, _)| {
            buffer[..length].copy_from_slice(&buffers[index][..length]);
            length
        }),
    )
}

/// A socket that tells its state to whoever connects. Voting does not depend on it.
fn listen_for_status() -> Option<UnixListener> {
    let path = Path::new(hotspare_control::ARBITER);
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).inspect_err(|error| tracing::warn!("no status socket: {error}")).ok()?;
    let _ = std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666));
    Some(listener)
}

async fn answer_status(control: Option<&UnixListener>, clusters: &[ClusterVoter]) {
    let Some(control) = control else { return std::future::pending().await };
    if let Ok((stream, _)) = control.accept().await {
        let now = clock::now();
        let status: Vec<_> = clusters.iter().map(|cluster| cluster.status(now)).collect();
        let line = format!("{}\n", serde_json::Value::from(status));
        // A caller that does not read must not hold up the vote: what the socket buffer does not take is lost.
        let _ = stream.try_write(line.as_bytes());
    }
}
