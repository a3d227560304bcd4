//! The journal: one record per decision, with an id and fields. A journal that hangs never stalls a decision: records
//! go through a bounded queue to a thread of their own, and what does not fit is dropped and counted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

pub use libsystemd::logging::Priority;

/// Records that may wait for journald.
const QUEUE_MAX: usize = 512;
/// How long the end of a program waits for its last records.
const FLUSH_PATIENCE: Duration = Duration::from_millis(300);

struct Record {
    priority: Priority,
    message: String,
    fields: Vec<(String, String)>,
}

enum Work {
    Write(Record),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

static QUEUE: OnceLock<SyncSender<Work>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Sets up logging: the journal under systemd, standard error elsewhere. `HOTSPARE_LOG=debug` shows more.
pub fn init() {
    use tracing_subscriber::prelude::*;
    let filter = tracing_subscriber::EnvFilter::try_from_env("HOTSPARE_LOG").unwrap_or_else(|_| "info".into());
    let registry = tracing_subscriber::registry().with(filter);
    match tracing_journald::layer().ok().filter(|_| under_systemd()) {
        // The default prefix "F_" would hide MESSAGE_ID from journalctl.
        Some(layer) => registry.with(layer.with_field_prefix(None)).init(),
        None => registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time()).init(),
    }
}

fn under_systemd() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

fn queue() -> &'static SyncSender<Work> {
    QUEUE.get_or_init(|| {
        let (sender, receiver) = sync_channel::<Work>(QUEUE_MAX);
        let write = move || {
            for work in receiver {
                match work {
                    Work::Write(record) => write_out(&record),
                    Work::Flush(done) => drop(done.try_send(())),
                }
            }
        };
        std::thread::Builder::new().name("journal".into()).spawn(write).expect("a thread can be started");
        sender
    })
}

fn write_out(record: &Record) {
    if under_systemd() {
        let fields = record.fields.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        if libsystemd::logging::journal_send(record.priority, &record.message, fields).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    } else {
        eprintln!("{}", record.message);
    }
}

/// Writes one record into the journal now, also from a command that an operator runs: what people decided belongs there too.
///
/// # Errors
/// If there is no journal to write to.
pub fn keep(
    id: &str,
    priority: Priority,
    message: String,
    fields: &[(&str, String)],
) -> Result<(), libsystemd::errors::SdError> {
    let record = make(id, priority, message, fields);
    let fields = record.fields.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    libsystemd::logging::journal_send(record.priority, &record.message, fields)
}

fn make(id: &str, priority: Priority, message: String, fields: &[(&str, String)]) -> Record {
    assert_eq!(id.len(), 32, "a message id has 32 digits");
    let mut all = vec![("MESSAGE_ID".to_owned(), id.to_owned())];
    all.extend(fields.iter().map(|(key, value)| (format!("HOTSPARE_{key}"), value.clone())));
    Record { priority, message, fields: all }
}

/// Writes one record without waiting. `fields` get the prefix `HOTSPARE_`.
pub fn record(id: &str, priority: Priority, message: String, fields: &[(&str, String)]) {
    if queue().try_send(Work::Write(make(id, priority, message, fields))).is_err() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until what was recorded is written, but not for a journal that hangs. Called when a program ends: the last
/// decision is the one that will be looked for.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, wait) = sync_channel(1);
    if queue.try_send(Work::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(FLUSH_PATIENCE);
    }
}

/// Writes one record before it returns: for programs that end right after.
pub fn record_now(id: &str, priority: Priority, message: String, fields: &[(&str, String)]) {
    write_out(&make(id, priority, message, fields));
}

/// Records that were lost because journald did not take them.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}
