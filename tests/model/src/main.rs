//! `hotspare-model [--seconds N] [register|copies]`: checks every state within small bounds; then leaves out a rule at a time and makes sure that
//! this is noticed.

mod copies;
mod model;

use copies::Copies;
use model::{Register, Replace};
use stateright::{Checker, HasDiscoveries, Model};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn number(name: &str, default: u64) -> u64 {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|arg| arg == name);
    at.and_then(|at| args.get(at + 1)).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What a checker asks of a model's states, or of its actions.
trait Part: Clone + PartialEq + std::fmt::Debug + std::hash::Hash + Send + Sync {}
impl<T: Clone + PartialEq + std::fmt::Debug + std::hash::Hash + Send + Sync> Part for T {}

/// A model that a checker's threads can share.
trait Shared: Model<State: Part, Action: Part> + Send + Sync {}
impl<M: Model<State: Part, Action: Part> + Send + Sync> Shared for M {}

/// Everything within the bounds of the register's model.
fn exhaust(bounds: &Register, must_see: &[&str], limit: Duration) -> bool {
    let Register { ballots, rounds, lives, .. } = bounds;
    let name = format!("ballots up to {ballots}, rounds up to {rounds}, lives up to {lives}");
    see_all(&name, bounds.clone(), must_see, limit)
}

/// True if all of `model` was seen, `must_see` in it, and nothing is broken.
fn see_all<M>(name: &str, model: M, must_see: &[&str], limit: Duration) -> bool
where
    M: Shared + 'static,
{
    let began = Instant::now();
    let checked = model.checker().threads(2).timeout(limit).spawn_bfs().join();
    let all = checked.is_done() && began.elapsed() < limit;
    println!(
        "{name}: {} steps, {} states, depth {}, {:.1} s, {}",
        checked.state_count(),
        checked.unique_state_count(),
        checked.max_depth(),
        began.elapsed().as_secs_f64(),
        if all { "exhaustive" } else { "NOT exhaustive: the time was up" },
    );
    let found = checked.discoveries();
    let mut well = all;
    for (name, path) in found.iter().filter(|(name, _)| name.starts_with('I')) {
        println!("  BROKEN: {name}\n{path}");
        well = false;
    }
    for name in must_see {
        let seen = found.contains_key(name);
        println!("  {}: {name}", if seen { "seen" } else { "NEVER seen" });
        well &= seen;
    }
    well
}

/// Whether a model without one of the rules breaks a promise.
fn noticed<M>(what: &str, wrong: M, limit: Duration) -> bool
where
    M: Shared + 'static,
{
    let began = Instant::now();
    let checked = wrong.checker().threads(2).timeout(limit).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken: Vec<_> = checked.discoveries().into_keys().filter(|name| name.starts_with('I')).collect();
    let said = if broken.is_empty() { "NOT noticed".into() } else { format!("breaks \"{}\"", broken.join("\", \"")) };
    println!(
        "without {what}: {said} after {} states, {:.1} s",
        checked.unique_state_count(),
        began.elapsed().as_secs_f64()
    );
    !broken.is_empty()
}

fn main() -> ExitCode {
    let limit = Duration::from_secs(number("--seconds", 120));
    let asked = |part: &str| std::env::args().any(|arg| arg == part);
    let all = !asked("register") && !asked("copies");
    let mut well = true;
    if all || asked("register") {
        well &= register(limit);
    }
    if all || asked("copies") {
        well &= copies(limit);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Register, lease, parking, hand-over, and the replacement of a voter.
fn register(limit: Duration) -> bool {
    let right = |ballots, rounds, lives| Register {
        ballots,
        rounds,
        lives,
        v4: true,
        confirm: true,
        newest: true,
        replace: None,
    };
    // Two bidders and renewals; then a third ballot, for what follows a hand-over.
    let renewals = right(2, 2, 0);
    let successions = right(3, 0, 1);
    let parks = "a parked bid waits behind a lease";
    let mut well = exhaust(&renewals, &[parks, "the lease moves by expiry"], limit);
    well &= exhaust(&right(2, 1, 1), &[parks, "the lease moves by expiry", "the lease is handed over"], limit);
    well &= exhaust(&right(3, 0, 0), &[parks, "the lease moves by expiry"], limit);
    well &= noticed("V4 (renewals go on after a higher promise)", Register { v4: false, ..renewals }, limit);
    well &=
        noticed("H5 (a successor acts without a renewal)", Register { confirm: false, ..successions.clone() }, limit);
    well &= noticed("H1 (an older value is built on)", Register { newest: false, ..successions }, limit);
    let replaced =
        |replace, ballots, rounds, lives| Register { replace: Some(replace), ..right(ballots, rounds, lives) };
    let joins = "a replaced voter makes a majority";
    well &= exhaust(&replaced(Replace::RIGHT, 2, 0, 1), &[joins], limit);
    well &= exhaust(&replaced(Replace::RIGHT, 2, 1, 0), &[joins, parks], limit);
    well &= exhaust(&replaced(Replace::RIGHT, 3, 0, 0), &[joins, "the lease moves by expiry"], limit);
    for (what, replace) in [
        ("the wait of V8", Replace { waits: false, ..Replace::RIGHT }),
        ("V8's second fellow", Replace { words: 1, ..Replace::RIGHT }),
        ("V8's newest value", Replace { takes_value: false, ..Replace::RIGHT }),
        ("H10 (promises count for ever)", Replace { promises_end: false, ..Replace::RIGHT }),
    ] {
        well &= noticed(what, replaced(replace, 2, 0, 0), limit);
    }
    well
}

/// The set of whole copies.
fn copies(limit: Duration) -> bool {
    let mut well = true;
    let right = Copies::RIGHT;
    let dropped = "a copy is dropped, and a write acknowledged without it";
    let taken = "a copy takes over with a write that its predecessor acknowledged";
    let both = "two nodes believe that they lead";
    for (bounds, must_see) in [
        (right.clone(), &[dropped, taken, both][..]),
        (Copies { ballots: 4, writes: 1, ..right.clone() }, &[taken, both]),
    ] {
        let name = format!("three copies, ballots up to {}, writes up to {}", bounds.ballots, bounds.writes);
        well &= see_all(&name, bounds, must_see, limit);
    }
    for (what, wrong) in [
        ("D1 (what may be chosen does not count)", Copies { maybe: false, ..right.clone() }),
        ("D3 (a copy that goes is not waited for)", Copies { waits: false, maybe: false, ..right.clone() }),
        ("D4 (a copy comes before it has everything)", Copies { copied: false, ..right.clone() }),
        ("D5 (any copy leads)", Copies { whole: false, ..right.clone() }),
        ("D6 (an old epoch writes)", Copies { fenced: false, ..right }),
    ] {
        well &= noticed(what, wrong, limit);
    }
    well
}
