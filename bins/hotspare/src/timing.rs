//! `hotspare explain timing`: one number in, every time out.

use hotspare_config::Config;
use hotspare_core::timetable::RHO_PERCENT;
use hotspare_daemon::watchdog::{self, Watchdog};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// The timetable of every group, in words.
#[must_use]
pub fn explain(config: &Config) -> String {
    let mut text = String::new();
    for group in &config.groups {
        let table = group.timetable;
        let budget = ms(group.outage_budget);
        let _ = writeln!(text, "{}: outage budget {budget}, so the lease is {}", group.name, ms(table.lease));
        let mut line = |at: Duration, what: &str| {
            let _ = writeln!(text, "  {:>9}  {what}", ms(at));
        };
        line(Duration::ZERO, "a renewal is sent to all voters over all links");
        line(table.attempt(0).expect("the first"), "the next renewal; if no majority answers:");
        for n in 1..=3 {
            line(table.attempt(n).expect("on the grid"), "another try");
        }
        line(table.begin_stop(), "the addresses go off; still reversible, nothing is restarted");
        line(table.kill(), "everything of the role is killed");
        line(table.self_fence(), "if anything is left, the machine reboots");
        line(table.believed(), &format!("by now nothing runs here, even if clocks differ by {RHO_PERCENT} %"));
        line(table.lease, "the voters may let another node lead");
        let rest: [(Duration, &str); 6] = [
            (table.lease * 2 / 3, "at least, from a power cut to the next leader's grant"),
            (table.lease, "at most; starting jobs, services and addresses comes on top"),
            (table.quarantine(), "after its boot, until a voter that lost its memory votes again"),
            (table.address_lifetime(), "until the kernel drops an address that nobody prolongs"),
            (group.boot_grace, "at cold start, a lesser candidate waits for a preferred one"),
            (group.hold_down, "a node that was told to let go stays away"),
        ];
        for (span, what) in rest {
            let _ = writeln!(text, "  {:>9}  {what}", ms(span));
        }
        text.push('\n');
    }
    text.push_str(&backstops(config, &Watchdog::all(Path::new(watchdog::FOLDER))));
    let beat = config.heartbeat;
    let _ = writeln!(text, "heartbeat (a hint, it decides nothing): every {}", ms(beat.interval));
    let _ = writeln!(text, "  {:>9}  of silence: late\n  {:>9}  of silence: dead", ms(beat.late), ms(beat.dead));
    let _ = writeln!(text, "  {:>9}  of grace for a peer that was never heard", ms(beat.boot_grace));
    text
}

/// Who acts when the one that keeps the timetable cannot; each stands behind the one before it.
fn backstops(config: &Config, dogs: &[Watchdog]) -> String {
    let (gate, daemon) = (hotspare_config::GATE_WATCHDOG.as_secs(), hotspare_config::DAEMON_WATCHDOG.as_secs());
    let mut text = String::from("if one that keeps this timetable is gone itself\n");
    let _ = writeln!(
        text,
        "       {daemon} s  hotspare-leased hangs: systemd kills it and starts it anew; the gate keeps the times above meanwhile"
    );
    let _ = writeln!(
        text,
        "     at once  the gate is killed: its ExecStopPost, and cluster-prove.service besides, kill the role and prove it"
    );
    let _ = writeln!(text, "      {gate} s  the gate hangs: systemd kills it, and the same follows");
    let (armed, words) = watchdog::summary(dogs);
    let _ =
        writeln!(text, "    {}  process 1 or the kernel hangs: {words}", if armed { "hardware" } else { "   never" });
    let timeout = dogs.iter().find(|dog| dog.armed).map(|dog| dog.timeout);
    let late = |group: &&hotspare_config::Group| timeout.is_some_and(|timeout| timeout > group.timetable.believed());
    for group in config.groups.iter().filter(late) {
        let _ = writeln!(
            text,
            "              it is longer than {} can wait ({}): it frees a machine that hangs, and is no part of its timetable",
            group.name,
            ms(group.timetable.believed())
        );
    }
    text.push('\n');
    text
}

/// A span in milliseconds, or in seconds if it is long.
#[must_use]
pub fn ms(span: Duration) -> String {
    if span >= Duration::from_secs(10) { format!("{} s", span.as_secs()) } else { format!("{} ms", span.as_millis()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_steps_of_the_default_budget() {
        let text = include_str!("../../../kdl-examples/vip-only.kdl");
        let config = hotspare_config::Config::parse("vip-only.kdl", text).unwrap();
        let said = super::explain(&config);
        for line in [
            "default: outage budget 2000 ms, so the lease is 1818 ms",
            "    606 ms  the next renewal",
            "   1363 ms  everything of the role is killed",
        ] {
            assert!(said.contains(line), "{line:?} is missing in\n{said}");
        }
    }

    #[test]
    fn what_stands_behind_the_timetable_and_whether_the_watchdog_fits() {
        let text = include_str!("../../../kdl-examples/vip-only.kdl");
        let config = hotspare_config::Config::parse("vip-only.kdl", text).unwrap();
        let dog = |armed, seconds| super::Watchdog {
            name: "watchdog0".into(),
            identity: "iTCO_wdt".into(),
            armed,
            timeout: std::time::Duration::from_secs(seconds),
        };
        let said = super::backstops(&config, &[dog(true, 10)]);
        assert!(
            said.contains("watchdog0 (iTCO_wdt) is armed: 10 s")
                && said.contains("longer than default can wait (1644 ms)"),
            "{said}"
        );
        assert!(!super::backstops(&config, &[dog(true, 1)]).contains("longer than"));
        assert!(super::backstops(&config, &[dog(false, 10)]).contains("is not armed"));
        let unit = include_str!("../../../units/system/hotspare-leased.service");
        assert!(unit.contains(&format!("WatchdogSec={}\n", hotspare_config::DAEMON_WATCHDOG.as_secs())));
        assert!(super::backstops(&config, &[]).contains("there is none"));
    }
}
