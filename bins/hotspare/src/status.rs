//! One screen: who leads, why, who votes, what is missing, what if.

use hotspare_control::{GroupStatus, NodeStatus};
use hotspare_daemon::watchdog::{self, Watchdog};
use std::fmt::Write;

/// `status` for a person; `pending`: what of the configuration is not in force; `dogs`: this machine's watchdogs; with `colour` for a terminal.
#[must_use]
pub fn render(status: &NodeStatus, pending: &[String], dogs: &[Watchdog], colour: bool) -> String {
    let paint = Paint(colour);
    let mut text = format!("cluster {}, seen from {}\n", paint.bold(&status.cluster), paint.bold(&status.node));
    if status.paused {
        let _ = writeln!(text, "{}", paint.warn("paused: nothing moves by itself (hotspare resume)"));
    }
    for line in pending {
        let _ = writeln!(text, "{}", paint.warn(&format!("pending: {line}")));
    }
    for group in &status.groups {
        text.push('\n');
        one(group, &paint, &mut text);
    }
    if !status.fences.is_empty() || !dogs.is_empty() {
        text.push('\n');
    }
    if !dogs.is_empty() {
        let (armed, words) = watchdog::summary(dogs);
        let _ = writeln!(text, "self   {}", if armed { words } else { paint.warn(&words) });
    }
    for line in &status.fences {
        let found = match (line.tried_s, line.wrong.as_slice()) {
            _ if line.shooting => paint.bad("is being switched off"),
            (None, _) => paint.warn("its fence devices have not been tried since the boot (hotspare-fence test)"),
            (Some(ago), []) => format!("can be switched off (tried {} ago)", minutes(ago)),
            (Some(ago), wrong) => {
                paint.bad(&format!("its fence devices fail (tried {} ago): {}", minutes(ago), wrong.join("; ")))
            }
        };
        let _ = writeln!(text, "fence  {}: {found}", line.node);
    }
    if status.groups.is_empty() {
        text.push_str("\nthis node is no candidate of any group\n");
    }
    text
}

fn one(group: &GroupStatus, paint: &Paint, text: &mut String) {
    let role = match group.role.as_str() {
        "primary" => paint.good("primary"),
        "standby" | "lock" | "holder" => group.role.clone(),
        other => paint.warn(other),
    };
    let _ = writeln!(text, "{}  {role}: {}", paint.bold(&group.name), group.state);
    let holder = group.holder.as_deref().unwrap_or("nobody");
    let left = group.left_ms.map(|ms| format!(", lease {ms} of {} ms left", group.lease_ms)).unwrap_or_default();
    let _ = writeln!(text, "  leads       {} (epoch {}{left})", paint.bold(holder), group.epoch);
    if !group.why.is_empty() {
        let _ = writeln!(text, "  last        {}", group.why);
    }
    let voters: Vec<_> = group
        .voters
        .iter()
        .map(|voter| match (voter.answering, voter.silent_ms) {
            (true, _) => voter.name.clone(),
            (false, Some(ms)) => paint.warn(&format!("{} (silent for {:.1} s)", voter.name, seconds(ms))),
            (false, None) => paint.warn(&format!("{} (never heard)", voter.name)),
        })
        .collect();
    let quorum = if group.quorum { "quorum".into() } else { paint.bad("NO QUORUM") };
    let _ = writeln!(text, "  votes       {} ({quorum})", voters.join(", "));
    let candidates: Vec<_> = group
        .candidates
        .iter()
        .map(|candidate| match (candidate.holder, candidate.ready) {
            (true, _) => format!("{} (leads)", candidate.name),
            (false, true) => format!("{} (ready)", candidate.name),
            (false, false) => paint.warn(&format!("{} (not ready)", candidate.name)),
        })
        .collect();
    let _ = writeln!(text, "  candidates  {}", candidates.join(", "));
    if !group.units.is_empty() || !group.addresses.is_empty() {
        let all: Vec<_> = group.units.iter().chain(&group.addresses).map(String::as_str).collect();
        let _ = writeln!(text, "  runs        {}", all.join(", "));
    }
    if !group.copies.is_empty() {
        let _ = writeln!(text, "  data        these copies count: {}", group.copies.join(", "));
    }
    let _ = writeln!(text, "  if this node died now: {}", group.if_this_node_died);
}

fn minutes(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }
    fn good(&self, text: &str) -> String {
        self.with("1;32", text)
    }
    fn warn(&self, text: &str) -> String {
        self.with("33", text)
    }
    fn bad(&self, text: &str) -> String {
        self.with("1;31", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotspare_control::{CandidateLine, FenceLine, VoterLine};

    #[test]
    fn one_screen_says_it_all() {
        let voter = |name: &str, answering| VoterLine { name: name.into(), answering, silent_ms: Some(4200) };
        let candidate = |name: &str, ready, holder| CandidateLine { name: name.into(), ready, holder, silent_ms: None };
        let group = GroupStatus {
            name: "default".into(),
            role: "standby".into(),
            state: "stands by for beta".into(),
            holder: Some("beta".into()),
            epoch: 7,
            lease_ms: 1818,
            left_ms: Some(1500),
            quorum: true,
            voters: vec![voter("alpha", true), voter("beta", true), voter("witness", false)],
            candidates: vec![candidate("alpha", true, false), candidate("beta", true, true)],
            addresses: vec!["192.0.2.10/24@eth1".into()],
            units: vec!["nginx.service".into()],
            copies: vec!["alpha".into(), "beta".into()],
            if_this_node_died: "beta would lose its majority and stop".into(),
            why: "handed over to beta, which leads in epoch 7".into(),
        };
        let status = NodeStatus {
            cluster: "demo".into(),
            node: "alpha".into(),
            config: "0".into(),
            paused: true,
            groups: vec![group],
            fences: vec![FenceLine { node: "beta".into(), shooting: false, tried_s: Some(7300), wrong: Vec::new() }],
        };
        let expected = "\
cluster demo, seen from alpha
paused: nothing moves by itself (hotspare resume)

default  standby: stands by for beta
  leads       beta (epoch 7, lease 1500 of 1818 ms left)
  last        handed over to beta, which leads in epoch 7
  votes       alpha, beta, witness (silent for 4.2 s) (quorum)
  candidates  alpha (ready), beta (leads)
  runs        nginx.service, 192.0.2.10/24@eth1
  data        these copies count: alpha, beta
  if this node died now: beta would lose its majority and stop

fence  beta: can be switched off (tried 2 h ago)
";
        assert_eq!(render(&status, &[], &[], false), expected);
        let dog = Watchdog {
            name: "watchdog0".into(),
            identity: "softdog".into(),
            armed: true,
            timeout: std::time::Duration::from_secs(9),
        };
        assert!(
            render(&status, &[], &[dog], false).contains("\nself   watchdog0 (softdog) is armed: 9 s\nfence  beta")
        );
        assert!(render(&status, &["x has changed".into()], &[], true).contains("\x1b[33mpending: x has changed"));
    }
}
