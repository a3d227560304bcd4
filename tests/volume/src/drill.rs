//! Does the simulator notice? Rules of the volume are taken out one at a time; each must be missed by some promise, soon.

use hotspare_volume_sim::profile::Profile;
use hotspare_volume_sim::run;
use std::process::ExitCode;

/// With a seed: its story without the rule; otherwise looks for a seed that notices.
#[cfg(feature = "faults")]
pub fn drill(name: &str, seed: Option<u64>, profiles: &[Profile], table: Option<&str>) -> ExitCode {
    use hotspare_volume::fault::take_out;
    let all: Vec<_> =
        seeded().into_iter().filter(|(fault, ..)| name.is_empty() || format!("{fault:?}") == name).collect();
    if all.is_empty() {
        let names: Vec<_> = seeded().iter().map(|(fault, ..)| format!("{fault:?}")).collect();
        eprintln!("hotspare-volume-sim: no fault {name:?}; there are: {}", names.join(", "));
        return ExitCode::from(64);
    }
    if let Some(seed) = seed {
        take_out(Some(all[0].0));
        return crate::tell(profiles, seed);
    }
    let mut text = String::from(
        "| taken out | rule | what happens instead | noticed by | in profile | runs | CPU s |\n|---|---|---|---|---|---|---|\n",
    );
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(std::collections::BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((at, (fault, ..))) = Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                    .and_then(|at| Some((at, all.get(at)?)))
                {
                    let row = hunt(*fault, profiles);
                    println!("{:<22} {}", format!("{fault:?}"), row.as_deref().unwrap_or("NOT FOUND"));
                    found.lock().expect("not poisoned").insert(at, row);
                }
            });
        }
    });
    let found = found.into_inner().expect("not poisoned");
    for (at, (fault, rule, what)) in all.iter().enumerate() {
        let row = found[&at].as_deref().unwrap_or("**nothing** | | |");
        text += &format!("| {fault:?} | {rule} | {what} | {row} |\n");
    }
    let missed = found.values().filter(|row| row.is_none()).count();
    println!("{} faults, {} found, {missed} not found", all.len(), all.len() - missed);
    if let Some(path) = table
        && let Err(error) = std::fs::write(path, text)
    {
        eprintln!("hotspare-volume-sim: cannot write {path}: {error}");
        return ExitCode::from(74);
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "faults"))]
pub fn drill(_: &str, _: Option<u64>, _: &[Profile], _: Option<&str>) -> ExitCode {
    let _ = run;
    eprintln!("hotspare-volume-sim: built without the feature `faults`; use `make faults`");
    ExitCode::from(64)
}

/// Seed after seed in all profiles in turn, until a promise is broken or a minute of CPU time is over.
#[cfg(feature = "faults")]
fn hunt(fault: hotspare_volume::fault::VolumeFault, profiles: &[Profile]) -> Option<String> {
    hotspare_volume::fault::take_out(Some(fault));
    let (began, mut runs) = (cpu(), 0_usize);
    while cpu() - began < 60.0 {
        let profile = &profiles[runs % profiles.len()];
        let seed = 1 + (runs / profiles.len()) as u64;
        runs += 1;
        if let Some(text) = run(profile, seed, false).broken {
            let promise = text.split(':').next().unwrap_or_default();
            let promise = if promise.contains(' ') { format!("assert: {promise}") } else { promise.to_owned() };
            return Some(format!("{promise} | {} | {runs} | {:.2}", profile.name, cpu() - began));
        }
    }
    None
}

/// CPU time of this thread, in seconds.
#[cfg(feature = "faults")]
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0) as f64 / 1e9
}

/// All faults: the rule, and what happens instead.
#[cfg(feature = "faults")]
fn seeded() -> Vec<(hotspare_volume::fault::VolumeFault, &'static str, &'static str)> {
    use hotspare_volume::fault::VolumeFault as F;
    vec![
        (F::AckWithoutPeers, "R1, D2", "a write is acknowledged when this copy has it"),
        (F::AckWithoutLocal, "R1", "a write is acknowledged when the others have it"),
        (F::FlushWithoutPeers, "R1", "a flush is acknowledged when this disk is flushed"),
        (F::FlushWithoutLocal, "R1", "a flush is acknowledged when the other disks are flushed"),
        (F::FlushedTooEarly, "R1", "a replica says that it is flushed when it begins"),
        (F::ReadsUnacked, "R1", "what a write under way has made of a disk is read before the other copies have it"),
        (F::OnlyChosenCounts, "D1, D4", "a copy that comes is waited for only when it is chosen"),
        (
            F::LastWishOnly,
            "D4",
            "what was asked for and taken back at once does not count, though it may still be on its way",
        ),
        (F::OneWishIsEnough, "D0", "a copy counts when one volume of the group wants it"),
        (F::OwnWishIsForgotten, "D0", "a volume does not wait for whom it has asked for while the others want less"),
        (F::NoIntent, "R4", "a write does not wait for its intent"),
        (F::NoIntentAtReplica, "R4", "a replica's write does not wait for its intent"),
        (F::ClearedWhenAcked, "R4", "bits go when a write is acknowledged, flushed or not"),
        (F::ClearedByEither, "R4", "bits go when either side is flushed"),
        (F::ServesBeforeEqual, "R4, D8", "a new primary serves what another copy that counts may not have"),
        (F::TargetStaysWhole, "R5", "a copy that is resynced is said to be whole meanwhile"),
        (F::JoinsTooEarly, "R5", "a copy joins before all is copied"),
        (F::JoinsWithoutFlush, "R5", "a copy joins with its cache not flushed"),
        (F::CountsTooEarly, "R5, D4", "a copy counts before it is flushed as far as the others"),
        (F::OwnBitsOnly, "R5, D8", "what the other side has marked is not copied"),
        (F::CopyWithoutLock, "R5", "a block is read for a copy while it is written to"),
        (F::ComparedIsSame, "R5", "a block that was compared before it is copied is taken for the same"),
        (F::NoLocks, "R8", "writes that overlap race at the primary"),
        (F::NoLocksAtReplica, "R8", "writes that overlap race at a replica"),
        (F::OldEpochsWrite, "D6", "a replica takes in what an earlier epoch writes"),
        (F::EpochNotKept, "D6, R5", "what a replica says of itself is not on its disk yet"),
        (F::NoDrain, "D7", "a session begins while writes of the last one are under way"),
        (F::FlushIsNoMark, "0027", "an asynchronous copy goes on while it flushes"),
        (F::DurableIsNoMark, "0027", "an asynchronous copy goes on while a durable write is under way"),
        (F::FlushPassesBy, "0027", "a flush is not sent to an asynchronous copy that is just about to be equal"),
        (F::GrowsUnzeroed, "0028", "what a volume grows by is what was on the disks"),
        (F::GrowsUnheard, "0028", "a larger size is shown before the other copies have it on disk"),
        (F::ClearsBeyond, "0028", "a copy that is equal up to the old size is taken for equal beyond that"),
        (F::SizeNotTaken, "0028", "a copy that joins keeps the size that it has"),
        (F::AcksAfterSeal, "R10", "requests are completed after the seal"),
        (F::VerifyWithoutLock, "verify", "a block is looked at while it is written to"),
        (F::VerifyOutOfTurn, "verify", "a replica looks at a block when it is asked, not when it is its turn"),
    ]
}
