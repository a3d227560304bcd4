//! The simulator of volumes as a test: every profile, a fixed number of seeds, and all seeds that ever failed.

use hotspare_volume_sim::{profile, run};

const SEEDS: u64 = 6;

#[test]
fn every_profile_keeps_every_promise() {
    for profile in profile::all() {
        let mut joins = 0;
        for seed in 1..=SEEDS {
            let outcome = run(&profile, seed, false);
            assert!(outcome.broken.is_none(), "profile {} seed {seed}: {:?}", profile.name, outcome.broken);
            joins += outcome.stats.joins;
        }
        assert!(joins > 2 * SEEDS, "profile {}: copies were hardly ever lost and back ({joins})", profile.name);
    }
}

#[test]
fn one_seed_is_one_story() {
    let profile = &profile::all()[0];
    assert_eq!(run(profile, 7, true).story, run(profile, 7, true).story);
}

#[test]
fn seeds_that_failed_once_stay_mended() {
    for line in include_str!("regressions.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_once(' ').expect("profile seed why");
        let seed = rest.split(' ').next().and_then(|seed| seed.parse().ok()).expect("a seed");
        let profile = profile::all().into_iter().find(|profile| profile.name == name).expect("a profile");
        let outcome = run(&profile, seed, false);
        assert!(outcome.broken.is_none(), "{line}: {:?}", outcome.broken);
    }
}
