//! The control socket of `hotspare-leased`: one JSON object per line, each way. Used by the gate, by
//! `hotspare-lease` and by `hotspare`; it works without a bus.
//!
//! Anybody may ask for the status; everything else needs root (checked by the kernel's peer credentials).
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the lease client listens.
pub const LEASED: &str = "/run/hotspare/control.sock";
/// Where the arbiter answers for its status.
pub const ARBITER: &str = "/run/hotspare-arbiter/control.sock";
/// Where the heartbeat tells what it hears.
pub const HEARTBEAT: &str = "/run/hotspare-heartbeat/control.sock";
/// Where `hotspare-fence test` leaves what it found, one file for each node.
pub const FENCE_TESTS: &str = "/run/hotspare-fence";
/// Where a gate says that the units of its group are of an older configuration, one file for each group. A folder of its own: process 1
/// watches it, and looks up from whatever it does when a file comes into a folder that it watches (decision 0041).
pub const STALE: &str = "/run/hotspare-stale";
/// The longest line either side takes, in bytes.
pub const LINE_MAX: usize = 256 * 1024;

/// Something that process 1 does because there is a file (a path unit of `about`, a group or a node): starts the role (`take`), stops it
/// (`yield`), has the node switched off (`fence`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(PathBuf);

impl Order {
    /// The file is the only one in its folder, for the reason given at [`STALE`].
    #[must_use]
    pub fn new(about: &str, what: &str) -> Order {
        Order(Path::new("/run/hotspare/orders").join(format!("{about}.{what}")).join("given"))
    }

    /// Makes the folder, so that process 1 watches it and none above it.
    ///
    /// # Errors
    /// If it cannot be made; which it is, is said.
    pub fn prepare(&self) -> io::Result<()> {
        let folder = self.0.parent().unwrap_or(&self.0);
        std::fs::create_dir_all(folder).map_err(|error| said(folder, &error))
    }

    /// # Errors
    /// If the file cannot be written; which it is, is said.
    pub fn give(&self) -> io::Result<()> {
        self.prepare()?;
        std::fs::write(&self.0, "").map_err(|error| said(&self.0, &error))
    }

    /// There may be none.
    pub fn take_back(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn said(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}

/// What a caller wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    Status,
    /// A gate (or `hotspare-lease hold`) wants the lease. Answered with [`Tell::Held`] or [`Tell::Refused`]; the
    /// connection then stays open for as long as the gate lives. `ask`: an operator wants it, so a live holder is asked.
    Attach {
        group: String,
        ask: bool,
        wait: bool,
    },
    /// Everything of the role is up.
    Up {
        group: String,
    },
    /// The proof: nothing of this tenure runs here any more.
    Emptied {
        group: String,
        proof: Proof,
    },
    /// A service of the group failed for good.
    GiveUp {
        group: String,
    },
    Switchover {
        group: String,
        to: Option<String>,
    },
    /// Whether this node reaches one of the things that a group's clients come from. For as long as the connection lasts.
    Uplink {
        group: String,
        good: bool,
    },
    /// A node is about to be switched off: what is known of it now is what a proof will be for. The connection stays open until that
    /// is done; a hang-up proves nothing.
    Fence {
        node: String,
    },
    /// What became of that: what proves it (`hotspare_config::Proof`), or nothing does.
    Fenced {
        proof: Option<String>,
    },
    /// A volume of a group says what its copy on this node is worth. Answered with [`Tell::Copies`], again whenever that changes, for
    /// as long as the connection lasts; when it ends, the copy is worth nothing.
    Volume {
        group: String,
        volume: String,
        born: bool,
        fit: bool,
    },
    /// The volume that is written to wants these nodes, and no others, to have every write (`hotspare_volume::Wishes`). On the
    /// connection of [`Ask::Volume`]; `wish` is higher each time.
    InSync {
        group: String,
        volume: String,
        epoch: u64,
        wish: u64,
        set: Vec<String>,
    },
    Pause {
        on: bool,
    },
    /// Everything that happens, one line each, until the caller hangs up.
    Listen,
}

/// A life of the lease, as two numbers that survive JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub boot: String,
    pub nonce: String,
}

/// What the gate leaves behind: which life ended here, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub life: Life,
    pub how: How,
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    Stopped,
    Died,
    Expired,
}

/// What a daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Tell {
    Done {
        text: String,
    },
    Held {
        epoch: u64,
        life: Life,
    },
    /// `retry`: the same wish may be granted later.
    Refused {
        reason: String,
        retry: bool,
    },
    /// What the voters agreed on for a group's data, while this node holds; numbers as text, for they do not fit JSON's.
    Copies {
        epoch: u64,
        /// The last [`Ask::InSync`] of this connection that was taken in; 0: none.
        wish: u64,
        generation: String,
        /// Each of these must have a write before it is acknowledged.
        acks: Vec<String>,
        /// These count.
        chosen: Vec<String>,
    },
    Status(Box<NodeStatus>),
    Error {
        reason: String,
        denied: bool,
    },
}

/// One screen of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub cluster: String,
    pub node: String,
    pub config: String,
    pub paused: bool,
    pub groups: Vec<GroupStatus>,
    /// The other nodes that this one can switch off.
    #[serde(default)]
    pub fences: Vec<FenceLine>,
}

/// What is known of the devices that switch a node off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FenceLine {
    pub node: String,
    /// They are being asked to, or are at it.
    pub shooting: bool,
    /// Since when they have been tried last; `None`: not since the boot.
    pub tried_s: Option<u64>,
    /// What was wrong then.
    pub wrong: Vec<String>,
}

/// What a try of a node's devices found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceTest {
    /// When, on the clock that runs since the boot, in seconds.
    pub at_s: u64,
    pub wrong: Vec<String>,
}

/// A group as this node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    pub name: String,
    /// "primary", "standby", "off", "lock", or a step between two of them.
    pub role: String,
    /// One sentence: what it is doing, or what blocks it.
    pub state: String,
    pub holder: Option<String>,
    pub epoch: u64,
    pub lease_ms: u64,
    /// How much longer the lease of this node, or of the holder, runs.
    pub left_ms: Option<u64>,
    pub quorum: bool,
    pub voters: Vec<VoterLine>,
    pub candidates: Vec<CandidateLine>,
    pub addresses: Vec<String>,
    pub units: Vec<String>,
    /// Whose copies of the group's data count; empty if it has none, or nobody knows yet.
    #[serde(default)]
    pub copies: Vec<String>,
    /// What would happen if this node died now.
    pub if_this_node_died: String,
    /// Why the role is where it is, in the words of the last decision seen here.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoterLine {
    pub name: String,
    pub answering: bool,
    pub silent_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateLine {
    pub name: String,
    pub ready: bool,
    pub holder: bool,
    pub silent_ms: Option<u64>,
}

/// What can go wrong between the two ends.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{daemon} is not running here ({path}: {source}); start it with: systemctl start {daemon}.service")]
    Absent { daemon: &'static str, path: String, source: io::Error },
    #[error("lost the connection to the daemon: {0}")]
    Lost(#[from] io::Error),
    #[error("the daemon hung up")]
    HungUp,
    #[error("the daemon's answer is not understood, it may be of another version: {0}")]
    Garbled(#[from] serde_json::Error),
}

/// A connection to a daemon.
pub struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the lease client of this node.
    ///
    /// # Errors
    /// If it does not run.
    pub fn leased() -> Result<Client, ControlError> {
        Client::connect(Path::new(LEASED), "hotspare-leased")
    }

    /// Connects to the daemon that listens at `path`.
    ///
    /// # Errors
    /// If it does not run.
    pub fn connect(path: &Path, daemon: &'static str) -> Result<Client, ControlError> {
        let absent = |source| ControlError::Absent { daemon, path: path.display().to_string(), source };
        let stream = UnixStream::connect(path).map_err(absent)?;
        Ok(Client { reader: BufReader::new(stream) })
    }

    /// Speaks over a connection that is there already.
    #[must_use]
    pub fn over(stream: UnixStream) -> Client {
        Client { reader: BufReader::new(stream) }
    }

    /// Waits no longer than `span` for each answer; `None`: as long as it takes.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn patience(&mut self, span: Option<Duration>) -> Result<(), ControlError> {
        Ok(self.reader.get_ref().set_read_timeout(span)?)
    }

    /// Sends `ask`.
    ///
    /// # Errors
    /// If the daemon is gone.
    pub fn send(&mut self, ask: &Ask) -> Result<(), ControlError> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        Ok(self.reader.get_mut().write_all(&line)?)
    }

    /// The next line, as it came.
    ///
    /// # Errors
    /// If the daemon hung up or did not answer in time.
    pub fn line(&mut self) -> Result<String, ControlError> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(ControlError::HungUp);
        }
        Ok(line)
    }

    /// The next answer.
    ///
    /// # Errors
    /// If the daemon hung up, did not answer in time, or speaks another version.
    pub fn receive(&mut self) -> Result<Tell, ControlError> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    /// Sends `ask` and waits for the answer.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::receive`].
    pub fn call(&mut self, ask: &Ask) -> Result<Tell, ControlError> {
        self.send(ask)?;
        self.receive()
    }

    /// The socket, to poll it beside other things.
    #[must_use]
    pub fn socket(&self) -> &UnixStream {
        self.reader.get_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_json_object_each() {
        let ask = Ask::Switchover { group: "default".into(), to: None };
        assert_eq!(serde_json::to_string(&ask).unwrap(), r#"{"op":"switchover","group":"default","to":null}"#);
        let unknown = serde_json::from_str::<Ask>(r#"{"op":"explode"}"#).unwrap_err().to_string();
        assert!(unknown.contains("expected one of"), "{unknown}");
        assert!(serde_json::from_str::<Ask>(r#"{"op":"pause","on":true,"force":1}"#).is_err());
    }

    #[test]
    fn an_absent_daemon_is_named_with_what_to_do() {
        let error = Client::connect(Path::new("/nonexistent/x.sock"), "hotspare-leased").err().unwrap().to_string();
        assert!(error.contains("systemctl start hotspare-leased.service"), "{error}");
    }
}
