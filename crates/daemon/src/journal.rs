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
static ORIGIN: OnceLock<Vec<(&str, String)>> = OnceLock::new();

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
        let origin = ORIGIN.get_or_init(origin).iter().map(|(key, value)| (*key, value.as_str()));
        let fields = record.fields.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        if libsystemd::logging::journal_send(record.priority, &record.message, origin.chain(fields)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    } else {
        eprintln!("{}", record.message);
    }
}

/// Which program this is, and of which unit. journald finds both out itself, but later, and not of a program that has
/// ended by then: `journalctl -u UNIT`, which shows `OBJECT_SYSTEMD_UNIT=` of root as well, would lack the last word.
fn origin() -> Vec<(&'static str, String)> {
    let program = std::env::args().next().and_then(|path| path.rsplit('/').next().map(str::to_owned));
    let unit = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| unit_of(&text).map(str::to_owned));
    let fields = [("SYSLOG_IDENTIFIER", program), ("OBJECT_SYSTEMD_UNIT", unit)];
    fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// The service in the text of `/proc/PID/cgroup` (cgroups(7)).
fn unit_of(cgroup: &str) -> Option<&str> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.split('/').find(|part| part.ends_with(".service"))
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_unit_of_a_program_is_the_service_that_it_is_in() {
        let of = super::unit_of;
        assert_eq!(of("0::/system.slice/cluster-lease.service\n"), Some("cluster-lease.service"));
        assert_eq!(of("1:name=x:/a\n0::/system.slice/system-x.slice/x@a.service/sub\n"), Some("x@a.service"));
        assert_eq!(of("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        assert_eq!(of(""), None);
    }
}
