//! `hotspare-model [--ballots N] [--rounds N] [--lives N] [--seconds N]`: checks every state within the bounds; then leaves out a
//! rule at a time and makes sure that this is noticed.

mod model;

use model::Register;
use stateright::{Checker, HasDiscoveries, Model};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn number(name: &str, default: u64) -> u64 {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|arg| arg == name);
    at.and_then(|at| args.get(at + 1)).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() -> ExitCode {
    let small = |name, default| u8::try_from(number(name, default)).unwrap_or(u8::MAX);
    let right = Register {
        ballots: small("--ballots", 2),
        rounds: small("--rounds", 1),
        lives: small("--lives", 1),
        v4: true,
        confirm: true,
        newest: true,
    };
    let began = Instant::now();
    let limit = Duration::from_secs(number("--seconds", 240));
    let checked = right.clone().checker().threads(2).timeout(limit).spawn_bfs().join();
    let all = checked.is_done() && began.elapsed() < limit;
    println!(
        "ballots up to {}, rounds up to {}, lives up to {}: {} states, {} of them different, depth {}, {:.1} s, {}",
        right.ballots,
        right.rounds,
        right.lives,
        checked.state_count(),
        checked.unique_state_count(),
        checked.max_depth(),
        began.elapsed().as_secs_f64(),
        if all { "exhaustive" } else { "NOT exhaustive: the time was up" },
    );
    let mut well = all;
    for (name, path) in checked.discoveries() {
        let kept = !name.starts_with('I');
        println!("  {} {name}", if kept { "seen:  " } else { "BROKEN:" });
        if !kept {
            println!("{path}");
        }
        well &= kept;
    }
    for name in ["the lease moves by expiry", "the lease is handed over", "a parked bid waits behind a lease"] {
        if checked.discovery(name).is_none() {
            println!("  NEVER seen: {name}");
            well = false;
        }
    }
    let without = [
        ("V4: renewals go on after a higher promise", Register { v4: false, ..right.clone() }),
        ("H5: a successor acts without a renewal", Register { confirm: false, ..right.clone() }),
        ("H1: an older value is built on", Register { newest: false, ballots: right.ballots.max(3), ..right }),
    ];
    for (what, wrong) in without {
        let began = Instant::now();
        let found = HasDiscoveries::AnyFailures;
        let checked = wrong.checker().threads(2).timeout(limit).finish_when(found).spawn_bfs().join();
        let broken: Vec<_> = checked.discoveries().into_keys().filter(|name| name.starts_with('I')).collect();
        println!(
            "without {what}: {} after {} states, {:.1} s",
            if broken.is_empty() { "NOT noticed".into() } else { broken.join(", ") },
            checked.unique_state_count(),
            began.elapsed().as_secs_f64()
        );
        well &= !broken.is_empty();
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
