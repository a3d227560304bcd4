//! Does the simulator notice? Rules are taken out one at a time; each must be missed by some promise, soon.

use crate::seeded::{self, Seeded};
use crate::{profile, run};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// CPU time within which a fault has to be found.
pub const BUDGET: Duration = Duration::from_secs(60);

/// What only the exhaustive model has shown so far, and how: too rare an interleaving for seeds.
const IN_THE_MODEL: [(&str, &str); 1] = [("PromisesCountForEver", "I1, in `make model`")];

fn in_the_model(fault: &Seeded) -> Option<&'static str> {
    IN_THE_MODEL.iter().find(|(name, _)| *name == fault.name()).map(|(_, how)| *how)
}

/// Rules of two voters of which a fenced one counts as granted (F3, F4): in all other profiles they decide nothing.
const OF_TWO_VOTERS: [&str; 2] = ["CreditForAnyBoot", "CreditOutlivesReturn"];

/// A fault that was found.
pub struct Found {
    /// The promise that was broken.
    pub promise: String,
    pub profile: &'static str,
    pub runs: u64,
    pub seconds: f64,
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

/// Runs seed after seed with `fault` in force, in all profiles in turn in which its rule decides anything, until a promise is broken.
#[must_use]
pub fn hunt(fault: Seeded) -> Option<Found> {
    Seeded::enforce(Some(fault));
    let (began, mut profiles) = (cpu(), profile::all());
    if OF_TWO_VOTERS.contains(&fault.name().as_str()) {
        profiles.retain(|profile| profile.fence_votes);
    }
    let mut runs = 0;
    let mut found = None;
    while found.is_none() && cpu() - began < BUDGET {
        let profile = &profiles[usize::try_from(runs).expect("few") % profiles.len()];
        let seed = 1 + runs / profiles.len() as u64;
        runs += 1;
        let outcome = run(profile, seed, false);
        found = outcome.broken.map(|text| {
            let promise = text.split(':').next().unwrap_or_default();
            let promise = if promise.contains(' ') { format!("assert: {promise}") } else { promise.to_owned() };
            Found { promise, profile: profile.name, runs, seconds: (cpu() - began).as_secs_f64() }
        });
    }
    Seeded::enforce(None);
    found
}

/// Hunts the fault called `name`, or all of them; prints, and writes the table to `table`.
pub fn drill(name: &str, table: Option<&str>) -> ExitCode {
    let all: Vec<_> = seeded::all().into_iter().filter(|(fault, ..)| name.is_empty() || fault.name() == name).collect();
    if all.is_empty() {
        let names: Vec<_> = seeded::all().iter().map(|(fault, ..)| fault.name()).collect();
        eprintln!("hotspare-sim: no fault {name:?}; there are: {}", names.join(", "));
        return ExitCode::from(64);
    }
    let mut text = String::from(
        "| taken out | rule | what happens instead | noticed by | in profile | runs | CPU s |\n|---|---|---|---|---|---|---|\n",
    );
    let mut missed = 0;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((fault, ..)) = all.get(at) else { return };
                    let found = hunt(*fault);
                    match &found {
                        Some(found) => println!(
                            "{:<24} {} after {} runs, {:.2} s",
                            fault.name(),
                            found.promise,
                            found.runs,
                            found.seconds
                        ),
                        None => println!("{:<24} {}", fault.name(), in_the_model(fault).unwrap_or("NOT FOUND")),
                    }
                    results.lock().expect("not poisoned").push((at, found));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("not poisoned");
    results.sort_by_key(|(at, _)| *at);
    for ((fault, rule, what), (_, found)) in all.iter().zip(&results) {
        let row = match found {
            Some(Found { promise, profile, runs, seconds }) => format!("{promise} | {profile} | {runs} | {seconds:.2}"),
            None => format!("{} | | |", in_the_model(fault).unwrap_or("**nothing**")),
        };
        missed += usize::from(found.is_none() && in_the_model(fault).is_none());
        writeln!(text, "| {} | {rule} | {what} | {row} |", fault.name()).expect("a string takes all");
    }
    println!("{} faults, {} found, {missed} not found", all.len(), all.len() - missed);
    if let Some(path) = table
        && let Err(error) = std::fs::write(path, text)
    {
        eprintln!("hotspare-sim: cannot write {path}: {error}");
        return ExitCode::from(74);
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
