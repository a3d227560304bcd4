//! By the gate when it is stopped, by its ExecStopPost, and once more by OnFailure: whatever became of the gate, nothing of
//! the group is left here, and this is written down.
//!
//! First the file is gone that lets units of the role start; then process 1 is asked whether it is done with everything
//! it had decided before. From here on none of them can start, and what is found empty stays empty.

use crate::args::Args;
use crate::effects::Addresses;
use crate::guard::reboot;
use crate::slice::Slice;
use hotspare_control::{Ask, Client, How, Life, Proof, STALE, Tell};
use hotspare_core::Timetable;
use hotspare_core::id::fnv1a;
use hotspare_core::lease::Tenure;
use hotspare_daemon::{Exit, Failure, Priority, clock, message_id, notify};
use hotspare_page::PageReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where claims, proofs and the configuration in force are kept.
pub const FOLDER: &str = "/run/hotspare-gate";

/// A unit of the role starts only while this file is there (`AssertPathExists=`, see hotspare-generator).
pub fn open_file(group: &str) -> PathBuf {
    file(group, "open")
}

pub fn file(group: &str, what: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{group}.{what}"))
}

fn life_of(tenure: &Tenure) -> Life {
    let life = tenure.value.incarnation;
    Life { boot: life.boot.to_string(), nonce: life.nonce.to_string() }
}

/// Says that a gate is about to take charge of a tenure it does not know yet. From here on a restarted lease client
/// waits for a proof, whatever happens in between.
pub fn announce_claim(group: &str) -> Result<(), Failure> {
    write(&file(group, "claim"), &serde_json::Value::Null)
}

/// A lock that goes with this process, however it ends: a lease client that was restarted sees by it that a gate is here.
pub fn hold_lock(group: &str) -> Result<std::fs::File, Failure> {
    let path = file(group, "lock");
    let failed = || format!("cannot lock {}", path.display());
    let lock = std::fs::File::create(&path).map_err(Exit::CantCreate.why(failed()))?;
    lock.lock().map_err(Exit::OsErr.why(failed()))?;
    Ok(lock)
}

/// What systemd tells of the gate: its own ExecStopPost, or the unit that OnFailure= started.
fn told(name: &str) -> String {
    let own = std::env::var(name).ok();
    own.or_else(|| std::env::var(format!("MONITOR_{name}")).ok()).unwrap_or_default()
}

fn how_it_ended() -> How {
    match (told("SERVICE_RESULT").as_str(), told("EXIT_CODE").as_str(), told("EXIT_STATUS").as_str()) {
        ("success", ..) => How::Stopped,
        (_, "exited", "69" | "UNAVAILABLE") => How::Expired,
        _ => How::Died,
    }
}

/// What systemd runs once the gate has ended.
pub fn after(args: &Args) -> Result<Exit, Failure> {
    let refused = matches!(told("EXIT_STATUS").as_str(), "75" | "TEMPFAIL");
    prove(args, how_it_ended(), refused)
}

/// What a gate does itself when process 1 stops it, after everything behind it: that saves the start of a process in
/// each planned move. The door is shut; process 1 must have done what it had decided before. If anything fails, [`after`]
/// does it again.
pub fn at_its_stop(args: &Args) {
    if !notify::barrier(1000) {
        return;
    }
    if let Err(failure) = prove(args, How::Stopped, false) {
        eprintln!("{}; ExecStopPost tries again", failure.message);
    }
}

/// The units of a held group stay those of the file that was in force when it was taken; what was put in force meanwhile comes now, before
/// the role can come back (hotspare-refresh.path has process 1 reload them, and until then the lease client takes no role here). What was only edited stays pending, and may have mistakes: in
/// force is what the lease client started with.
fn let_newer_units_in(args: &Args) {
    let held = file(&args.group, "kdl");
    let (was, now) = (std::fs::read(&held).ok(), std::fs::read(&args.config).ok());
    let in_force = std::fs::read_to_string(Path::new(hotspare_page::FOLDER).join("digest")).ok();
    let _ = std::fs::remove_file(held);
    let digest = now.as_ref().map(|text| format!("{:016x}", fnv1a(text)));
    if was.is_some()
        && now != was
        && digest.is_some()
        && digest == in_force
        && let Err(error) =
            std::fs::create_dir_all(STALE).and_then(|()| std::fs::write(Path::new(STALE).join(&args.group), ""))
    {
        eprintln!("units of the older configuration stay until systemctl daemon-reload: {error}");
    }
}

/// What hotspare-refresh.service runs: process 1 makes the units of the configuration in force. Groups that say meanwhile that theirs are
/// old have it run again.
pub fn refresh() -> Result<Exit, Failure> {
    let files = std::fs::read_dir(STALE).map_err(Exit::OsErr.why(format!("cannot read {STALE}")))?;
    let stale: Vec<PathBuf> = files.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let done = std::process::Command::new("systemctl").arg("daemon-reload").status();
    // Also where it failed: a role with older units is better than none.
    let removed: std::io::Result<()> = stale.iter().try_for_each(std::fs::remove_file);
    let done = done.map_err(Exit::OsErr.why("cannot run systemctl"))?;
    removed.map_err(Exit::OsErr.why(format!("cannot write to {STALE}")))?;
    if done.success() {
        Ok(Exit::Done)
    } else {
        Err(Failure::new(
            Exit::OsErr,
            format!("systemctl daemon-reload: {done}; units of the older configuration stay"),
        ))
    }
}

fn prove(args: &Args, how: How, refused: bool) -> Result<Exit, Failure> {
    let (group, slice, addresses) = (args.group.as_str(), &args.slice(), &args.address);
    let claim = std::fs::read(file(group, "claim")).ok();
    let (mut slice, mut effects) =
        (Slice::new(slice), Addresses::new(addresses).map_err(Exit::OsErr.why("no netlink"))?);
    let page = PageReader::open(&hotspare_page::path(group)).ok().and_then(|page| page.read());
    let table = page.map(|tenure| Timetable::new(tenure.lease));
    let deadline = page.zip(table).map(|(tenure, table)| tenure.sent.plus(table.believed()));
    // However late it is, a kill takes milliseconds: it is always tried before the reboot.
    let patience = clock::now().plus(table.map_or(Duration::from_secs(1), Timetable::step));
    let mut killed = false;
    shut(group);
    loop {
        if slice.populated() {
            killed = true;
            slice.kill();
        }
        let left = effects.sweep().map_err(Exit::OsErr.why("cannot look for the group's addresses"))?;
        if !slice.populated() && left.is_empty() {
            break;
        }
        let now = clock::now();
        if now.any_past(patience) && deadline.is_none_or(|deadline| now.any_past(deadline)) {
            let message = format!("{group}: cannot stop what runs here and the lease is over: the machine reboots now");
            hotspare_daemon::journal::record_now(
                message_id::GATE_SELF_FENCE,
                Priority::Emergency,
                message,
                &[("GROUP", group.into())],
            );
            reboot();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let_newer_units_in(args);
    // Without a claim there is nothing to prove: the other of the two did it, or no gate was ever here. What the page
    // calls held is then on its way to the next gate, and none of ours (the simulator found it released).
    let Some(claim) = claim else { return Ok(Exit::Done) };
    // Without a known life the gate may have died between the grant and its note of it: the page says which it was. A
    // gate that was refused guarded nothing.
    let on_page = page.filter(|tenure| !refused || !tenure.held).map(|tenure| life_of(&tenure));
    let Some(life) = serde_json::from_slice::<Life>(&claim).ok().or(on_page) else { return unclaim(group) };
    let known = std::fs::read(file(group, "proof")).ok().and_then(|bytes| serde_json::from_slice::<Proof>(&bytes).ok());
    if let Some(proof) = known.filter(|proof| proof.life == life) {
        tell(group, proof); // proven already, by the other of the two
        return unclaim(group);
    }
    let proof = Proof { life, how };
    // Where /run is full the proof stays owed, and this node out of the way: it could open no gate. Told of all the same, it took leases
    // that nobody used (the simulator found it).
    write(&file(group, "proof"), &proof)?;
    let word = if killed { "; what was still running was killed" } else { "" };
    let message = format!("{group}: proven: nothing of the role runs here, its addresses are gone{word}");
    let fields = [("GROUP", group.to_owned()), ("REASON", format!("{how:?}").to_lowercase())];
    tell(group, proof);
    hotspare_daemon::journal::record_now(message_id::GATE_PROOF, Priority::Info, message, &fields);
    unclaim(group)
}

/// A lease client that finds no claim knows that no gate is here and nothing runs: so this comes after the proof.
fn unclaim(group: &str) -> Result<Exit, Failure> {
    let _ = std::fs::remove_file(file(group, "claim"));
    Ok(Exit::Done)
}

/// From its return on, process 1 starts no unit of the role. A gate that was stopped has done it already, and process 1
/// has dealt with the gate's end since: that is a barrier, too.
fn shut(group: &str) {
    if std::fs::remove_file(open_file(group)).is_ok() && !notify::barrier(1000) {
        eprintln!("process 1 did not answer within a second, proceeding");
    }
}

/// The file is the proof; the message only saves time.
fn tell(group: &str, proof: Proof) {
    let told = Client::leased().and_then(|mut client| {
        client.patience(Some(Duration::from_millis(300)))?;
        client.call(&Ask::Emptied { group: group.into(), proof })
    });
    match told {
        Ok(Tell::Done { .. }) => {}
        Ok(other) => eprintln!("hotspare-leased did not take the proof: {other:?}"),
        Err(error) => eprintln!("hotspare-leased will find the proof in {FOLDER}: {error}"),
    }
}

/// Writes `value` as JSON, whole or not at all.
pub fn write(path: &Path, value: &impl serde::Serialize) -> Result<(), Failure> {
    let fresh = path.with_extension("new");
    let bytes = serde_json::to_vec(value).map_err(Exit::Software.why("cannot encode"))?;
    let written = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(Exit::CantCreate.why(format!("cannot write {}", path.display())))
}
