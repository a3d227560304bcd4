//! The units of a simulated group: what hotspare-generator makes of `tests/golden/03-socket-and-standby`, plus what
//! stands around them: multi-user.target.
//! In some runs the user's own service is enabled there.

use crate::seeded::{ModelFault, out};
use crate::systemd::{Graph, Unit};

macro_rules! golden {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../golden/03-socket-and-standby/expected/", $name)))),*]
    };
}

const FILES: [(&str, &str); 13] = golden![
    "cluster-primary.target" "cluster-standby.target" "cluster-yield.target" "cluster-lease.service" "cluster-prove.service"
    "cluster-up.service" "cluster-address-1.service" "hotspare-enter.service"
    "nightly.timer.d/50-hotspare.conf" "replica.service.d/50-hotspare.conf" "web.service.d/50-hotspare.conf"
    "web.socket.d/50-hotspare.conf" "hotspare-leased.service.d/50-default.conf"
];
const ASSERT: &str = "AssertPathExists=/run/hotspare-gate/default.open";
/// With the user's own service enabled in it, as its package left it, and without: what is wanted twice hides what is wanted once.
const AROUND: [(&str, &str); 2] = [
    ("multi-user.target", "Wants=hotspare-enter.service web.service"),
    ("multi-user.target", "Wants=hotspare-enter.service"),
];

/// The units that the machine does something for.
#[derive(Clone, Debug)]
pub struct Units {
    pub graph: Graph,
    pub primary: Unit,
    pub standby: Unit,
    pub give: Unit,
    pub gate: Unit,
    pub prove: Unit,
    pub up: Unit,
    pub address: Unit,
    pub enter: Unit,
    pub multi_user: Unit,
    /// The user's service on the primary, and the one on the standby.
    pub service: Unit,
    pub keeper: Unit,
    pub give_up: Unit,
}

/// A line of a unit: what the unit is called, what it says, and what it says instead.
type Wrong = (&'static str, &'static str, &'static str);

/// The lines that the seeded fault in force changes.
fn wrong_lines() -> Vec<Wrong> {
    use ModelFault as F;
    let table = [
        (F::GatePulledIn, "web.service", ASSERT, "BindsTo=cluster-lease.service"),
        (F::RequisiteOnGate, "web.service", ASSERT, "Requisite=cluster-lease.service"),
        (F::StartsAnywhere, "web.service", ASSERT, ""),
        (F::RoleWantedByBoot, "multi-user.target", "Wants=", "Wants=cluster-standby.target "),
        (F::GateOutlivesRole, "cluster-standby.target", " cluster-lease.service", ""),
        (F::StandbyUnordered, "replica.service", "After=", "X-Nothing="),
        (F::NoWayBackToStandby, "cluster-lease.service", " cluster-standby.target", ""),
        (F::GateOutlivesRole, "cluster-lease.service", "PartOf=", "StopPropagatedFrom="),
        (F::ServiceOutlivesRole, "web.service", "PartOf=", "X-Nothing="),
        (F::ServiceOutlivesRole, "web.service", "StopPropagatedFrom=", "X-Nothing="),
        (F::NoGiveUp, "web.service", "OnFailure=", "X-Nothing="),
        (F::ProofOnce, "cluster-lease.service", "OnFailure=cluster-prove.service", "OnFailure="),
    ];
    table.into_iter().filter(|(fault, ..)| out(*fault)).map(|(_, unit, line, other)| (unit, line, other)).collect()
}

impl Units {
    #[must_use]
    pub fn load(enabled: bool) -> Units {
        let around = if enabled { &AROUND[0] } else { &AROUND[1] };
        let files = FILES.iter().chain([around]).map(|(name, text)| {
            let unit = name.split_once(".d/").map_or(*name, |(unit, _)| unit);
            let mut text = (*text).to_owned();
            for (_, line, other) in wrong_lines().into_iter().filter(|(wrong, ..)| *wrong == unit) {
                assert!(text.contains(line), "{name} has no {line}");
                text = text.replace(line, other);
            }
            (*name, text)
        });
        let files: Vec<(&str, String)> = files.collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let graph = Graph::load(&files);
        let named = |name| graph.named(name);
        Units {
            primary: named("cluster-primary.target"),
            standby: named("cluster-standby.target"),
            give: named("cluster-yield.target"),
            gate: named("cluster-lease.service"),
            prove: named("cluster-prove.service"),
            up: named("cluster-up.service"),
            address: named("cluster-address-1.service"),
            enter: named("hotspare-enter.service"),
            multi_user: named("multi-user.target"),
            service: named("web.service"),
            keeper: named("replica.service"),
            give_up: graph.find("hotspare-giveup@default.service").expect("named by OnFailure"),
            graph,
        }
    }
}
