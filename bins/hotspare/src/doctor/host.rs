//! The machine: versions, clocks, disk, network, watchdog.

use super::{Report, output};
use hotspare_config::{Config, Node};
use hotspare_daemon::identity;
use hotspare_daemon::watchdog::{self, Watchdog};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// RestartMode=direct is of this version.
const SYSTEMD_MIN: u32 = 254;
/// The largest datagram and its headers.
const MTU_MIN: u32 = 1280;
/// What /run should have left, in bytes: a page for each of a few files, many times over.
const RUN_MIN: u64 = 1 << 20;
/// Writes that are timed.
const WRITES: usize = 20;
/// How long pauses are looked for.
const WATCH: Duration = Duration::from_millis(800);
/// Clocks that do not stop, jump or depend on a device that may hang.
const GOOD_CLOCKS: [&str; 6] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen", "timebase"];

fn read(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

pub fn systemd(report: &mut Report) {
    let text = output("systemctl", &["--version"]).unwrap_or_default();
    let version = text.split_whitespace().nth(1).and_then(|word| word.parse::<u32>().ok());
    match version {
        Some(version) if version >= SYSTEMD_MIN => report.fine("systemd", format!("version {version}")),
        Some(version) => report.bad(
            "systemd",
            format!("version {version}; {SYSTEMD_MIN} is the first with RestartMode=direct: a crash that Restart= mends would move the group"),
        ),
        None => report.bad("systemd", "systemctl does not say its version: is systemd process 1 here?"),
    }
}

pub fn key(me: &Node, report: &mut Report) {
    match identity::key_of(me) {
        Ok(_) => report.fine("key", format!("it is the one of \"{}\"", me.name)),
        Err(failure) => report.bad("key", failure.message),
    }
}

/// Interfaces and their addresses.
fn interfaces() -> Vec<(String, std::net::IpAddr)> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = |item: nix::ifaddrs::InterfaceAddress| {
        let storage = item.address?;
        let ip = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
            (Some(v4), _) => v4.ip().into(),
            (None, Some(v6)) => v6.ip().into(),
            (None, None) => return None,
        };
        Some((item.interface_name, ip))
    };
    all.filter_map(address).collect()
}

pub fn links(config: &Config, me: &Node, report: &mut Report) {
    let here = interfaces();
    for link in &me.links {
        let Some((interface, _)) = here.iter().find(|(_, ip)| ip == link) else {
            report.bad(
                "link",
                format!("{link} is on no interface of this machine: set it up, or mend the configuration"),
            );
            continue;
        };
        let shown = output("ip", &["-o", "link", "show", "dev", interface]).unwrap_or_default();
        let mtu = shown.split(" mtu ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        match mtu {
            Some(mtu) if mtu < MTU_MIN => {
                report.bad("link", format!("{interface} ({link}) has an MTU of {mtu}; datagrams need {MTU_MIN}"));
            }
            Some(mtu) => report.fine("link", format!("{link} on {interface}, MTU {mtu}")),
            None => report.warn("link", format!("{link} on {interface}; its MTU cannot be read")),
        }
    }
    if me.links.len() == 1 && config.nodes.len() > 1 {
        report.warn("link", "there is one only: a cable that is pulled costs a failover; add a second network");
    }
    for address in config.groups_of(&me.name).flat_map(|group| &group.addresses) {
        if nix::net::if_::if_nametoindex(address.interface.as_str()).is_err() {
            report.bad("address", format!("{}: there is no interface {} here", address.net, address.interface));
        }
    }
}

pub fn clocks(report: &mut Report) {
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default();
    if GOOD_CLOCKS.iter().any(|good| source.starts_with(good)) {
        report.fine("clock", format!("source {source}"));
    } else {
        report.warn(
            "clock",
            format!("source \"{source}\": leases allow for 5 % of drift, and this one is not known to keep it"),
        );
    }
    let before = hotspare_daemon::clock::now();
    std::thread::sleep(Duration::from_millis(200));
    let after = hotspare_daemon::clock::now();
    let (boot, raw) = (after.boot - before.boot, after.raw - before.raw);
    let millionths = (i128::from(boot) - i128::from(raw)) * 1_000_000 / i128::from(raw.max(1));
    if millionths.abs() > 5_000 {
        report.warn(
            "clock",
            format!("it is being slewed by {millionths} ppm against the raw clock: let NTP step it once"),
        );
    } else {
        report.fine("clock", format!("{millionths} ppm off the raw clock"));
    }
}

/// Pauses of the machine: what a lease has to live with.
pub fn pauses(config: &Config, report: &mut Report) {
    let kind = output("systemd-detect-virt", &[]).unwrap_or_else(|| "none".into());
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while began.elapsed() < WATCH {
        let before = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        longest = longest.max(before.elapsed().saturating_sub(Duration::from_millis(1)));
    }
    let step = config.shortest_step();
    let (longest_ms, step_ms) = (longest.as_secs_f64() * 1e3, step.as_millis());
    let text = format!(
        "virtualisation: {}; the longest pause in {} ms was {longest_ms:.1} ms",
        kind.trim(),
        WATCH.as_millis()
    );
    if longest > step {
        report.bad(
            "pauses",
            format!("{text}, longer than a step of the shortest lease ({step_ms} ms): raise outage-budget"),
        );
    } else if longest > step / 4 {
        report.warn("pauses", format!("{text}; a step of the shortest lease is {step_ms} ms"));
    } else {
        report.fine("pauses", text);
    }
    if kind.trim() != "none" {
        report.warn("pauses", "a virtual machine may be paused or migrated for longer than the lease: then the role moves, and this node ends it when it wakes up");
    }
}

/// A promise is one write and one sync: that is what a failover waits for, twice.
pub fn disk(config: &Config, me: &Node, report: &mut Report) {
    if !config.voters.contains(&me.name) {
        return;
    }
    let folder = Path::new("/var/lib/hotspare-arbiter");
    let path = folder.join(".doctor");
    let timed = || -> std::io::Result<Vec<Duration>> {
        let mut file = std::fs::File::create(&path)?;
        let mut times = Vec::new();
        for _ in 0..WRITES {
            let began = Instant::now();
            file.write_all(&[0; 1024])?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    };
    let times = timed();
    let _ = std::fs::remove_file(&path);
    let step = config.shortest_step();
    match times {
        Ok(times) => {
            let ms = |span: Duration| span.as_secs_f64() * 1e3;
            let (median, worst) = (times[WRITES / 2], times[WRITES - 1]);
            let text = format!("a synced write takes {:.1} ms, at worst {:.1} ms", ms(median), ms(worst));
            if worst > step {
                report.warn(
                    "disk",
                    format!(
                        "{text}: more than a step of the shortest lease ({} ms); a failover takes longer by that",
                        step.as_millis()
                    ),
                );
            } else {
                report.fine("disk", text);
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            report.warn("disk", "run as root, to time the writes of the arbiter");
        }
        Err(error) => report.bad("disk", format!("the arbiter cannot write to {}: {error}", folder.display())),
    }
}

/// Where gates, lease clients and voters keep what has to survive their own restart.
pub fn run_folder(report: &mut Report) {
    let Ok(found) = nix::sys::statvfs::statvfs("/run") else { return };
    let left = found.blocks_available() * found.fragment_size();
    if left < RUN_MIN {
        let text = format!(
            "{} KiB are left: where there are none no gate can open, and no role is taken; make room",
            left >> 10
        );
        report.bad("/run", text);
    } else {
        report.fine("/run", format!("{} MiB are left", left >> 20));
    }
}

/// Process 1 owns the watchdog device: without it nothing ends a kernel that hangs while it holds a lease.
pub fn watchdog(report: &mut Report) {
    match watchdog::summary(&Watchdog::all(Path::new(watchdog::FOLDER))) {
        (true, text) => report.fine("watchdog", text),
        (false, text) => report.warn("watchdog", text),
    }
}

/// A base chain that drops by default, and does not name our ports.
pub fn firewall(config: &Config, report: &mut Report) {
    let ports = (config.port, config.port + 2);
    let Some(rules) = output("nft", &["list", "ruleset"]) else {
        return report.fine("firewall", "nftables is not here, or not to be asked");
    };
    let drops = rules.split("chain ").any(|chain| chain.contains("hook input") && chain.contains("policy drop"));
    let range = format!("{}-{}", ports.0, ports.1);
    let mut missing = Vec::new();
    if !(ports.0..=ports.1).all(|port| rules.contains(&port.to_string())) && !rules.contains(&range) {
        missing.push(format!("udp dport {range} accept"));
    }
    let volumes = config.volumes().map(|(_, volume)| volume);
    let closed = volumes.filter(|volume| !rules.contains(&volume.port.to_string()));
    missing.extend(closed.map(|volume| format!("tcp dport {} accept", volume.port)));
    if drops && !missing.is_empty() {
        report.bad("firewall", format!("input is dropped, and not all ports are named: {}", missing.join("; ")));
    } else {
        report.fine("firewall", format!("nothing that drops UDP {range}, or a volume's TCP port"));
    }
}
