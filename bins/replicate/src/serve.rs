//! The callers' side of the engine's socket, and `status`.

use crate::role::{self, Ask, Behind, Resync, Status, Tell};
use hotspare_config::Volume;
use hotspare_daemon::{Exit, Failure};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// Asks the engine of this node.
///
/// # Errors
/// If it does not run.
pub fn connect(volume: &str, ask: &Ask) -> Result<BufReader<UnixStream>, Failure> {
    let path = role::path(volume);
    let help = format!("start it with: systemctl start hotspare-replicate@{volume}.service");
    let absent = Exit::Unavailable.why(format!("nobody runs the copy here ({}; {help})", path.display()));
    let mut stream = UnixStream::connect(&path).map_err(absent)?;
    let line = serde_json::to_string(ask).expect("plain data") + "\n";
    stream.write_all(line.as_bytes()).map_err(Exit::Unavailable.why("the copy's daemon hung up"))?;
    Ok(BufReader::new(stream))
}

/// Its next answer.
///
/// # Errors
/// If it hung up, or says what is not understood.
pub fn receive(reader: &mut BufReader<UnixStream>) -> Result<Tell, Failure> {
    let mut line = String::new();
    let length = reader.read_line(&mut line).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Failure::new(Exit::Unavailable, "the copy's daemon says nothing any more"),
        _ => Exit::Unavailable.why("the copy's daemon hung up")(error),
    })?;
    if length == 0 {
        return Err(Failure::new(Exit::Unavailable, "the copy's daemon hung up: the volume is gone"));
    }
    serde_json::from_str(&line).map_err(Exit::Protocol.why("the daemon's answer is not understood"))
}

/// Prints how the copies are.
pub fn status(volume: &str, json: bool) -> Result<Exit, Failure> {
    let mut reader = connect(volume, &Ask::Status)?;
    let Tell::Status(status) = receive(&mut reader)? else {
        return Err(Failure::new(Exit::Protocol, "the daemon's answer is not understood"));
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&status).expect("plain data"));
    } else {
        show(&status);
    }
    Ok(Exit::Done)
}

/// Has all copies compared, and says what came of it.
pub fn verify(volume: &str) -> Result<Exit, Failure> {
    let mut reader = connect(volume, &Ask::Verify)?;
    match receive(&mut reader)? {
        Tell::Verified { compared, differ: 0 } => {
            println!("volume {volume}: {compared} blocks were compared with other copies: all are the same");
            Ok(Exit::Done)
        }
        Tell::Verified { compared, differ } => {
            let message =
                format!("volume {volume}: {differ} of {compared} blocks were not the same, and are copied again");
            Err(Failure::new(Exit::No, format!("{message}; which: journalctl -u hotspare-replicate@{volume}")))
        }
        Tell::Refused { reason } => Err(Failure::new(Exit::TempFail, format!("volume {volume}: {reason}"))),
        Tell::Serving { .. } | Tell::Status(_) | Tell::Resized { .. } => {
            Err(Failure::new(Exit::Protocol, "the daemon's answer is not understood"))
        }
    }
}

/// Has the volume become as large as its copies.
pub fn resize(volume: &Volume) -> Result<Exit, Failure> {
    let name = &volume.name;
    let mut reader = connect(name, &Ask::Resize)?;
    match receive(&mut reader)? {
        Tell::Resized { bytes } => {
            println!("volume {name}: {bytes} bytes from now on, on all copies");
            if let Some(mount) = &volume.mount {
                let tool = match mount.kind.as_str() {
                    "ext4" => format!("resize2fs /dev/hotspare/{name}"),
                    "xfs" => format!("xfs_growfs {}", mount.place),
                    _ => format!("btrfs filesystem resize max {}", mount.place),
                };
                println!("Its file system, when the device has followed (a second or two): {tool}");
            }
            Ok(Exit::Done)
        }
        Tell::Refused { reason } => Err(Failure::new(Exit::No, format!("volume {name}: {reason}"))),
        _ => Err(Failure::new(Exit::Protocol, "the daemon's answer is not understood")),
    }
}

fn show(status: &Status) {
    let whole = if status.whole { "whole" } else { "not whole" };
    println!("volume {} of group {}: {}, epoch {}, {whole}", status.volume, status.group, status.role, status.epoch);
    println!("  {}", status.state);
    println!("  {} bytes on {}, generation {}", status.bytes, status.backing, status.generation);
    if status.room > status.bytes {
        println!("  room for {} bytes: hotspare-replicate resize {}", status.room, status.volume);
    }
    println!("  {} bytes would be copied again if this machine crashed now", status.after_a_crash);
    if let Some(seconds) = status.heard_seconds.filter(|_| status.role == "replica") {
        println!("  the copy that is written to was heard {seconds} s ago");
    }
    if let Some((looked, of)) = status.verifying {
        println!("  looks whether all copies are the same: block {looked} of {of}");
    }
    for copy in &status.copies {
        let how = match (copy.connected, copy.joined) {
            (_, true) => "equal",
            (true, false) => "connected",
            (false, false) => "away",
        };
        let how = if copy.behind.is_some() && copy.joined { "follows" } else { how };
        let counts = copy.counts.map_or("", |counts| if counts { ", counts" } else { ", does not count" });
        println!("  {}: {how}{counts}; up to {} bytes may differ", copy.node, copy.differs);
        if let Some(Behind { bytes, milliseconds, bytes_most, milliseconds_most }) = copy.behind {
            println!(
                "    {bytes} bytes and {milliseconds} ms behind; left behind from {bytes_most} bytes or {milliseconds_most} ms on"
            );
        }
        if let Some(Resync { bytes_left, bytes_per_second, seconds_left }) = copy.resync {
            let left = seconds_left.map_or("time left not known yet".into(), |seconds| format!("{seconds} s left"));
            println!("    {bytes_left} bytes to copy, {bytes_per_second} bytes/s, {left}");
        }
    }
}
