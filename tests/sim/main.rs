//! `hotspare-sim [--seed N] [--profile NAME] [--runs N] [--seconds N]`: runs seeds, prints figures, tells the story of one.

use hotspare_sim::{Profile, Stats, profile, run};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut seed, mut runs, mut seconds, mut name) = (None, u64::MAX, 10, None);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_default();
        match arg.as_str() {
            "--seed" => seed = value().parse().ok(),
            "--runs" => runs = value().parse().unwrap_or(runs),
            "--seconds" => seconds = value().parse().unwrap_or(seconds),
            "--profile" => name = Some(value()),
            other => {
                eprintln!("hotspare-sim: unknown argument {other:?}; it takes --seed, --profile, --runs, --seconds");
                return ExitCode::from(64);
            }
        }
    }
    let profiles: Vec<Profile> =
        profile::all().into_iter().filter(|profile| name.as_ref().is_none_or(|name| name == profile.name)).collect();
    std::panic::set_hook(Box::new(|_| {}));
    match seed {
        Some(seed) => tell(&profiles, seed),
        None => explore(&profiles, runs, Duration::from_secs(seconds)),
    }
}

fn tell(profiles: &[Profile], seed: u64) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for profile in profiles {
        println!("profile {}, seed {seed}", profile.name);
        let outcome = run(profile, seed, true);
        for line in &outcome.story {
            println!("{line}");
        }
        match outcome.broken {
            Some(broken) => {
                println!("BROKEN: {broken}");
                code = ExitCode::FAILURE;
            }
            None => println!("all promises kept: {:?}", outcome.stats),
        }
    }
    code
}

fn explore(profiles: &[Profile], runs: u64, budget: Duration) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for profile in profiles {
        let (started, mut total, mut broken) = (Instant::now(), Stats::default(), 0);
        let mut seed = 1;
        while seed <= runs && started.elapsed() < budget / u32::try_from(profiles.len()).expect("few") {
            let outcome = run(profile, seed, false);
            total.add(&outcome.stats);
            if let Some(text) = outcome.broken {
                broken += 1;
                if broken <= 5 {
                    println!("BROKEN profile {} seed {seed}: {text}", profile.name);
                }
                code = ExitCode::FAILURE;
            }
            seed += 1;
        }
        println!("{:<22} {total:?} broken {broken} in {:.1} s", profile.name, started.elapsed().as_secs_f64());
    }
    code
}
