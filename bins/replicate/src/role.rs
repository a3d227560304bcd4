//! The socket of this program: one JSON line each way. Promotion and its end come from here, asked for by
//! `hotspare-replicate serve`, which is a unit of the primary role.

use crate::engine::News;
use crate::sockets::Post;
use hotspare_control::LINE_MAX;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

/// Where the sockets of all volumes are.
pub const FOLDER: &str = "/run/hotspare-replicate";

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    Status,
    /// Be written to, for as long as this connection lasts. Answered when the first request can be served.
    Serve,
    /// Look whether all copies are the same; answered when that is known.
    Verify,
    /// Show as much as all copies have room for; answered when that is so, or cannot be.
    Resize,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Tell {
    /// Also said to the holder about once a second, unasked: the engine turns.
    Status(Box<Status>),
    Serving {
        epoch: u64,
    },
    Verified {
        compared: u64,
        differ: u64,
    },
    Resized {
        bytes: u64,
    },
    /// It cannot be, or is not any more.
    Refused {
        reason: String,
    },
}

/// How the copies are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub volume: String,
    pub group: String,
    pub backing: String,
    pub bytes: u64,
    /// Bytes that there is room for here.
    #[serde(default)]
    pub room: u64,
    /// "primary" or "replica".
    pub role: String,
    /// One sentence: what it is doing, or what blocks it.
    pub state: String,
    pub epoch: u64,
    pub whole: bool,
    pub generation: String,
    pub requests: usize,
    /// Bytes that would be copied again if this machine lost its power now.
    pub after_a_crash: u64,
    pub copies: Vec<Copy>,
    /// Blocks that were looked at, and how many there are.
    pub verifying: Option<(u64, u64)>,
    /// Since a copy that is written to said something last, in this life of the program.
    #[serde(default)]
    pub heard_seconds: Option<u64>,
}

/// Another copy, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub node: String,
    pub connected: bool,
    /// It is equal.
    pub joined: bool,
    /// It counts: whoever leads next may be it. Known while this node leads.
    pub counts: Option<bool>,
    /// Bytes of it that may differ.
    pub differs: u64,
    /// Of an asynchronous copy, while this node leads.
    #[serde(default)]
    pub behind: Option<Behind>,
    /// While it is made equal: what has yet to be copied, and how fast that goes.
    pub resync: Option<Resync>,
}

/// How far an asynchronous copy is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Written here and not there; known while the copy follows.
    pub bytes: u64,
    /// Since the oldest of that was written, or since it stopped following.
    pub milliseconds: u64,
    pub bytes_most: u64,
    pub milliseconds_most: u64,
}

/// A copy on its way to being equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resync {
    pub bytes_left: u64,
    /// Since the last look, at least a second before; 0: not known yet.
    pub bytes_per_second: u64,
    pub seconds_left: Option<u64>,
}

/// The socket of `volume`.
pub fn path(volume: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{volume}.sock"))
}

/// Where the holder speaks NBD to the engine.
pub fn engine_path(volume: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{volume}.engine"))
}

/// The NBD socket of `volume` for its users; the holder is there.
pub fn nbd_path(volume: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{volume}.nbd"))
}

/// Locked by the holder.
pub fn holder_path(volume: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{volume}.holder"))
}

/// There while the volume is served: the user's units are started only then.
pub fn open_path(volume: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{volume}.open"))
}

/// A fresh socket at `path`.
///
/// # Errors
/// If it cannot be made.
pub fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Takes callers until the program ends.
pub fn listen(listener: UnixListener, news: Post<News>) {
    for (caller, stream) in (1..).zip(listener.incoming().flatten()) {
        let news = news.clone();
        let spawned = std::thread::Builder::new().name("caller".into()).spawn(move || {
            let _ = hear(&stream, caller, &news);
            let _ = news.send(News::HungUp { caller });
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for a caller: {error}");
        }
    }
}

fn hear(stream: &UnixStream, caller: u64, news: &Post<News>) -> io::Result<()> {
    let (answer, answers) = channel::<Tell>();
    let mut back = stream.try_clone()?;
    std::thread::Builder::new().name("answers".into()).spawn(move || {
        for tell in answers {
            let line = serde_json::to_string(&tell).expect("answers are plain data") + "\n";
            if back.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    })?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if (&mut lines).take(LINE_MAX as u64).read_line(&mut line)? == 0 {
            return Ok(());
        }
        match serde_json::from_str(&line) {
            Ok(ask) => {
                let call = News::Call { caller, ask, answer: answer.clone() };
                news.send(call)?;
            }
            Err(error) => {
                let reason = format!("this request is not understood: {error}");
                let _ = answer.send(Tell::Refused { reason });
            }
        }
    }
}
