//! `hotspare-volume-sim`: runs seeds, prints figures, tells the story of one; with `--faults`, takes rules out one at a time.

mod drill;

use hotspare_volume_sim::profile::{self, Profile};
use hotspare_volume_sim::run;
use hotspare_volume_sim::stats::Stats;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str =
    "hotspare-volume-sim [--seed N] [--profile NAME] [--seconds N] [--from SEED] [--faults [NAME] [--table FILE]]

  --seed N       tells the story of one seed, in every profile or in the one named
  --seconds N    explores seeds for so long, all profiles in turn (default 10)
  --from SEED    where to begin (default 1)
  --faults NAME  takes one rule out, or all one after the other, and looks for a seed that notices; with --seed,
                 tells the story of that seed without the rule
  --table FILE   writes what was found as a Markdown table";

#[derive(Default)]
struct Args {
    seed: Option<u64>,
    from: u64,
    seconds: u64,
    profile: Option<String>,
    faults: Option<String>,
    table: Option<String>,
}

fn parse() -> Result<Args, String> {
    let mut all = Args { from: 1, seconds: 10, ..Args::default() };
    let mut args = std::env::args().skip(1).peekable();
    while let Some(arg) = args.next() {
        if arg == "--faults" {
            all.faults = Some(args.next_if(|name| !name.starts_with("--")).unwrap_or_default());
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{arg}: {value:?} is no number"));
        match arg.as_str() {
            "--seed" => all.seed = Some(number()?),
            "--from" => all.from = number()?,
            "--seconds" => all.seconds = number()?,
            "--profile" => all.profile = Some(value),
            "--table" => all.table = Some(value),
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(all)
}

fn main() -> ExitCode {
    let args = match parse() {
        Ok(args) => args,
        Err(wrong) => {
            eprintln!("hotspare-volume-sim: {wrong}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    let wanted = |profile: &Profile| args.profile.as_ref().is_none_or(|name| name == profile.name);
    let profiles: Vec<Profile> = profile::all().into_iter().filter(wanted).collect();
    if profiles.is_empty() {
        let names: Vec<_> = profile::all().iter().map(|profile| profile.name).collect();
        eprintln!("hotspare-volume-sim: no such profile; there are: {}", names.join(", "));
        return ExitCode::from(64);
    }
    std::panic::set_hook(Box::new(|_| {}));
    match (&args.faults, args.seed) {
        (Some(name), seed) => drill::drill(name, seed, &profiles, args.table.as_deref()),
        (None, Some(seed)) => tell(&profiles, seed),
        (None, None) => explore(&profiles, &args),
    }
}

fn tell(profiles: &[Profile], seed: u64) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for profile in profiles {
        println!("profile {}, seed {seed}", profile.name);
        let outcome = run(profile, seed, true);
        outcome.story.iter().for_each(|line| println!("{line}"));
        match outcome.broken {
            Some(broken) => {
                println!("BROKEN: {broken}");
                code = ExitCode::FAILURE;
            }
            None => println!("all promises kept: {}", outcome.stats),
        }
    }
    code
}

fn explore(profiles: &[Profile], args: &Args) -> ExitCode {
    let (mut all, mut broken_in_all, started) = (Stats::default(), 0_u64, Instant::now());
    for profile in profiles {
        let (began, next) = (Instant::now(), AtomicU64::new(args.from));
        let budget = Duration::from_secs(args.seconds) / u32::try_from(profiles.len()).expect("few");
        let work = || {
            let (mut total, mut broken) = (Stats::default(), 0_u64);
            while began.elapsed() < budget {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let outcome = run(profile, seed, false);
                total.add(&outcome.stats);
                if let Some(text) = outcome.broken {
                    broken += 1;
                    println!("BROKEN profile {} seed {seed}: {text}", profile.name);
                }
            }
            (total, broken)
        };
        let (mut total, mut broken) = (Stats::default(), 0);
        std::thread::scope(|scope| {
            for worker in [scope.spawn(work), scope.spawn(work)] {
                let (stats, count) = worker.join().expect("a run does not panic outside of its own net");
                total.add(&stats);
                broken += count;
            }
        });
        println!("{:<14} {total}; broken {broken} in {:.0} s", profile.name, began.elapsed().as_secs_f64());
        all.add(&total);
        broken_in_all += broken;
    }
    println!("{:<14} {all}; broken {broken_in_all} in {:.0} s", "all volumes", started.elapsed().as_secs_f64());
    if broken_in_all == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
