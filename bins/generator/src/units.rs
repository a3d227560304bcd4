//! The units of a group. Each line that looks odd was tried; so was the obvious one in its place (ARCHITECTURE.md, "The
//! units").
//!
//! Gate and `vip-claim` start while clients wait, so their sandbox has no mount namespace: setting one up costs more
//! time than the two programs need for all they do. They are confined by capabilities instead.

use hotspare_config::{Config, FenceKind, Frontend, Group, Mount, Probe, ProbeKind, SharedDisk, Volume};
use std::collections::BTreeMap;

/// Where the programs are.
pub const BINDIR: &str = match option_env!("HOTSPARE_BINDIR") {
    Some(folder) => folder,
    None => "/usr/bin",
};

/// What confines a program without a mount namespace of its own.
const CONFINED: &str = "LockPersonality=yes\nMemoryDenyWriteExecute=yes\nRestrictNamespaces=yes\nRestrictSUIDSGID=yes\n\
                        RestrictRealtime=yes\nSystemCallArchitectures=native\n\
                        RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_PACKET AF_INET AF_INET6\n";

/// The same for the holder of a volume, which speaks to nobody outside. A mount namespace of its own could keep the very file system
/// mounted that is on its device.
const CONFINED_HOLDER: &str = "NoNewPrivileges=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\nRestrictNamespaces=yes\n\
                               RestrictSUIDSGID=yes\nRestrictRealtime=yes\nSystemCallArchitectures=native\n\
                               SystemCallFilter=@system-service\nRestrictAddressFamilies=AF_UNIX AF_NETLINK\n\
                               CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_SYS_ADMIN CAP_SYS_RESOURCE CAP_IPC_LOCK CAP_SYS_PTRACE\n";

/// File name to content; a name with a slash is in a folder, a content of `link:TARGET` is a symbolic link.
pub type Files = BTreeMap<String, String>;

/// The names of a group's units.
struct Names<'a>(&'a Group);

impl Names<'_> {
    fn unit(&self, stem: &str, kind: &str) -> String {
        self.0.unit_name(stem, kind)
    }
    fn name(&self) -> &str {
        &self.0.name
    }
    fn primary(&self) -> String {
        self.unit("cluster-primary", "target")
    }
    fn standby(&self) -> String {
        self.unit("cluster-standby", "target")
    }
    fn gate(&self) -> String {
        self.unit("cluster-lease", "service")
    }
    fn prove(&self) -> String {
        self.unit("cluster-prove", "service")
    }
    fn up(&self) -> String {
        self.unit("cluster-up", "service")
    }
    fn slice(&self) -> String {
        format!("cluster-{}.slice", self.name())
    }
    fn address(&self, n: usize) -> String {
        self.unit(&format!("cluster-address-{}", n + 1), "service")
    }
    fn give(&self) -> String {
        self.unit("cluster-yield", "target")
    }
    fn path(&self, what: &str) -> String {
        self.unit(&format!("cluster-{what}"), "path")
    }
    fn enter(&self) -> String {
        self.unit("hotspare-enter", "service")
    }
}

/// All units of `group`.
pub fn of_group(group: &Group) -> Files {
    let names = Names(group);
    let addresses: Vec<String> = (0..group.addresses.len()).map(|n| names.address(n)).collect();
    let mut files = Files::new();
    files.insert(names.primary(), primary(&names, &addresses));
    files.insert(names.standby(), standby(&names));
    files.insert(names.gate(), gate(&names));
    files.insert(names.prove(), prove(&names));
    files.insert(names.up(), up(&names, &addresses));
    files.insert(names.slice(), slice(&names));
    files.insert(names.enter(), enter(&names));
    files.insert(names.give(), give(&names));
    for (what, condition, target) in [("take", "PathExists", names.primary()), ("yield", "PathChanged", names.give())] {
        files.insert(names.path(what), path(&names, (what, condition), &target));
    }
    let storage = group.storage_units();
    for (n, unit) in group.units.iter().enumerate() {
        let before = n.checked_sub(1).map_or(storage.as_slice(), |n| &group.units[n..=n]);
        files.insert(format!("{unit}.d/50-hotspare.conf"), primary_unit(&names, unit, before));
    }
    for volume in &group.volumes {
        files.insert(volume.unit(), volume_unit(&names, volume));
        if let Some(mount) = &volume.mount {
            let device = format!("/dev/hotspare/{}", volume.name);
            let text = mount_unit(&names, (&device, &volume.unit(), &open_volume(volume)), mount);
            files.insert(mount.unit(), text);
        }
    }
    for (n, disk) in group.shared.iter().enumerate() {
        files.insert(group.disk_unit(n), disk_unit(&names, n, disk));
        files.insert(group.disk_free_unit(n), disk_free_unit(&names, disk));
        if let Some(mount) = &disk.mount {
            let device = disk.device.to_string_lossy();
            files.insert(
                mount.unit(),
                mount_unit(&names, (&device, &group.disk_unit(n), &claimed_disk(group, n)), mount),
            );
        }
    }
    for unit in &group.standby_units {
        files.insert(format!("{unit}.d/50-hotspare.conf"), standby_unit(&names, &addresses));
    }
    for (n, address) in group.addresses.iter().enumerate() {
        let place = format!("{} --interface {}", address.net, address.interface);
        files.insert(names.address(n), address_unit(&names, &place));
    }
    for (n, probe) in group.probes.iter().enumerate() {
        files.insert(group.probe_unit(n), probe_unit(&names, probe, &addresses));
    }
    for (n, uplink) in group.uplinks.iter().enumerate() {
        files.insert(group.uplink_unit(n), uplink_unit(&names, uplink));
    }
    // Pulled in by the lease client, so that installing and starting it is all there is to do. A path unit fails where root's
    // inotify instances are used up (128 by default): it is tried again until it stands.
    let uplinks = (0..group.uplinks.len()).map(|n| group.uplink_unit(n));
    let paths = [names.path("take"), names.path("yield")].into_iter().chain(uplinks).collect::<Vec<_>>().join(" ");
    let header = header("What the lease client needs to move this group");
    let free: String = (0..group.shared.len()).map(|n| format!(" {}", group.disk_free_unit(n))).collect();
    let copies: String =
        group.volumes.iter().map(|volume| format!(" hotspare-replicate@{}.service", volume.name)).collect();
    files.insert(
        format!("hotspare-leased.service.d/50-{}.conf", group.name),
        format!("{header}[Unit]\nUpholds={paths}\nWants={}{free}{copies}\n", names.enter()),
    );
    files.insert(format!("multi-user.target.wants/{}", names.enter()), format!("link:../{}", names.enter()));
    files
}

/// What the lease client of `me` needs to have other nodes switched off: a path unit for each, and the timer that tries the devices.
pub fn of_fences(config: &Config, me: &str) -> Files {
    let paths: Vec<String> = config
        .fenceable()
        .filter(|node| node.name != me)
        .map(|node| format!("hotspare-fence@{}.path", node.name))
        .collect();
    let mut files = Files::new();
    if paths.is_empty() {
        return files;
    }
    let header = header("What the lease client needs to have other nodes switched off");
    let upholds = format!("{header}[Unit]\nUpholds={} hotspare-fence-test.timer\n", paths.join(" "));
    files.insert("hotspare-leased.service.d/60-fence.conf".into(), upholds);
    files
}

/// What the heartbeats of `me` need to go over a disk as well: process 1 opens it for a daemon that may open nothing.
pub fn of_disk(config: &Config, me: &str) -> Files {
    let mut files = Files::new();
    if let Some(disk) = &config.disk {
        let header = header("Heartbeats go over a disk as well");
        let takes = config.node(me).is_some_and(|node| node.fences.iter().any(|fence| fence.kind == FenceKind::Pill));
        let upholds = if takes { "[Unit]\nUpholds=hotspare-pill.path\n\n" } else { "" };
        let disk = disk.to_string_lossy().replace('%', "%%").replace(':', "\\x3a"); // "\:" is refused
        let text = format!("{header}{upholds}[Service]\nOpenFile={disk}:disk:graceful\n");
        files.insert("hotspare-heartbeat.service.d/50-disk.conf".into(), text);
    }
    files
}

fn header(what: &str) -> String {
    format!("# {what}.\n# Made by hotspare-generator from the cluster configuration; changes here are lost.\n\n")
}

/// The storage, units, addresses and probes, in the order in which they start.
fn everything(group: &Group, addresses: &[String]) -> String {
    let probes = (0..group.probes.len()).map(|n| group.probe_unit(n));
    let units = group.units.iter().chain(addresses).cloned();
    group.storage_units().into_iter().chain(units).chain(probes).collect::<Vec<_>>().join(" ")
}

fn primary(names: &Names, addresses: &[String]) -> String {
    let gate = names.gate();
    let all = [everything(names.0, addresses), names.up()].join(" ");
    format!(
        "{}[Unit]\nDescription=Primary role of the group {}\nDocumentation=man:hotspare(7)\n\
         Requires=multi-user.target\nBindsTo={gate}\nWants={all}\nAfter={gate} {all}\n\
         Conflicts={} rescue.target emergency.target\nOnFailure={}\n{}IgnoreOnIsolate=yes\nX-OnlyManualStart=yes\n",
        header("Starting this asks the cluster for the primary role"),
        names.name(),
        names.standby(),
        names.standby(),
        isolate(names),
    )
}

/// `systemctl isolate` is for the one group that has the plain names.
fn isolate(names: &Names) -> &'static str {
    if names.name() == "default" { "AllowIsolate=yes\n" } else { "" }
}

fn standby(names: &Names) -> String {
    let free = (0..names.0.shared.len()).map(|n| names.0.disk_free_unit(n));
    let wants = match names.0.standby_units.iter().cloned().chain(free).collect::<Vec<_>>().join(" ") {
        units if units.is_empty() => String::new(),
        units => format!("Wants={units}\n"),
    };
    format!(
        "{}[Unit]\nDescription=Standby role of the group {}\nDocumentation=man:hotspare(7)\n\
         Requires=multi-user.target\nConflicts={} {}\n{wants}{}IgnoreOnIsolate=yes\nX-OnlyManualStart=yes\n",
        header("Starting this gives the primary role back"),
        names.name(),
        names.primary(),
        names.gate(),
        isolate(names),
    )
}

fn gate(names: &Names) -> String {
    let addresses: String = names.0.addresses.iter().map(|a| format!(" --address {}@{}", a.net, a.interface)).collect();
    let program = format!("{BINDIR}/hotspare-gate {}", names.name());
    format!(
        "{}[Unit]\nDescription=Lease gate of the group {}\nDocumentation=man:hotspare-gate(8)\n\
         After=hotspare-leased.service {slice} {prove}\nWants={slice}\nPartOf={}\nOnFailure={prove} {}\n\
         RefuseManualStop=yes\nStartLimitIntervalSec=0\nIgnoreOnIsolate=yes\n\
         X-RestartIfChanged=false\nX-StopIfChanged=false\n\n\
         [Service]\nType=notify\nNotifyAccess=exec\nRestart=no\nSlice=hotspare.slice\n\
         ExecStart={program}{addresses}\nExecStopPost={program}{addresses} --act prove\n\
         TimeoutStartSec=180\nTimeoutStopSec=30\nWatchdogSec={watchdog}\nWatchdogSignal=SIGKILL\nLimitCORE=0\n\
         LimitMEMLOCK=infinity\nOOMScoreAdjust=-1000\nRuntimeDirectory=hotspare-gate\nRuntimeDirectoryPreserve=yes\n\
         RuntimeDirectoryMode=0755\nUMask=0022\nCapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_BOOT CAP_KILL CAP_IPC_LOCK CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH\n\
         NoNewPrivileges=yes\n{CONFINED}",
        header("The guard behind a held lease: the primary role cannot start without it and does not outlive it"),
        names.name(),
        names.primary(),
        names.standby(),
        slice = names.slice(),
        prove = names.prove(),
        watchdog = hotspare_config::GATE_WATCHDOG.as_secs(),
    )
}

/// The same proof as the gate's ExecStopPost, from a cgroup of its own: after a `cgroup.kill` (which is what
/// `systemctl kill -s KILL` does) some kernels kill whatever systemd puts into that cgroup next, ExecStopPost included.
fn prove(names: &Names) -> String {
    let addresses: String = names.0.addresses.iter().map(|a| format!(" --address {}@{}", a.net, a.interface)).collect();
    format!(
        "{}[Unit]\nDescription=Prove that nothing of the group {} runs here\nDocumentation=man:hotspare-gate(8)\n\
         StartLimitIntervalSec=0\nIgnoreOnIsolate=yes\n\n[Service]\nType=oneshot\nNotifyAccess=main\nRestart=on-failure\nRestartMode=direct\nRestartSec=20ms\n\
         RestartSteps=6\nRestartMaxDelaySec=2\nSlice=hotspare.slice\nExecStart={BINDIR}/hotspare-gate {}{addresses} --act prove\nOOMScoreAdjust=-1000\n\
         RuntimeDirectory=hotspare-gate\nRuntimeDirectoryPreserve=yes\nRuntimeDirectoryMode=0755\n",
        header("Kills what is left of the role, and writes down that nothing is"),
        names.name(),
        names.name(),
    )
}

fn up(names: &Names, addresses: &[String]) -> String {
    let gate = names.gate();
    format!(
        "{}[Unit]\nDescription=Everything of the primary role of {} is up\n{assert}After={gate} {}\n\
         StopPropagatedFrom={gate}\nPartOf={}\nIgnoreOnIsolate=yes\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         Slice=hotspare.slice\nExecStart=-{BINDIR}/hotspare-gate {} --act up\n",
        header("Says so, once all units and addresses are up"),
        names.name(),
        everything(names.0, addresses),
        names.primary(),
        names.name(),
        assert = behind_the_gate(names),
    )
}

/// A unit of the role starts only while the gate is open. `Requisite=` would say the same, and its verify job would cancel
/// the stop of the gate if somebody starts the unit in the middle of a stop (vm-tests/undone-stop.py).
fn behind_the_gate(names: &Names) -> String {
    format!("AssertPathExists=/run/hotspare-gate/{}.open\n", names.name())
}

fn slice(names: &Names) -> String {
    format!(
        "{}[Unit]\nDescription=What runs on the primary of the group {}\nDocumentation=man:hotspare(7)\n",
        header("Everything in here is killed when the lease is over"),
        names.name()
    )
}

/// Passes by: stops the gate and enters standby, each time it is started. A start of cluster-standby.target would do
/// nothing where that is active already, and so it is while a role stops; somebody who starts a unit of the role in that
/// moment makes systemd drop the stop of the gate, and then it must be asked for again.
fn give(names: &Names) -> String {
    format!(
        "{}[Unit]\nDescription=Give the primary role of the group {} back\nDocumentation=man:hotspare(7)\n\
         Conflicts={} {}\nWants={}\nStopWhenUnneeded=yes\nIgnoreOnIsolate=yes\nX-OnlyManualStart=yes\n",
        header("Stops the primary role, also if it half runs beside the standby target"),
        names.name(),
        names.primary(),
        names.gate(),
        names.standby(),
    )
}

fn path(names: &Names, (what, condition): (&str, &str), target: &str) -> String {
    format!(
        "{}[Unit]\nDescription=Starts {target} when the lease client asks\nDocumentation=man:hotspare-leased(8)\n\
         StartLimitIntervalSec=0\nIgnoreOnIsolate=yes\n\n[Path]\n{condition}=/run/hotspare/orders/{}.{what}/given\nUnit={target}\nTriggerLimitIntervalSec=0\n",
        header("The lease client is unprivileged: it raises a file, and process 1 starts the role"),
        names.name()
    )
}

/// A role that is here has an open gate, and one that is on its way has a job that a start of the standby would cancel, which
/// `--job-mode=fail` refuses. No shell, no `grep`: on NixOS neither is where a unit made by a generator looks for it.
fn enter(names: &Names) -> String {
    format!(
        "{}[Unit]\nDescription=Enter the standby role of the group {name}\nAfter=hotspare-leased.service\n\
         ConditionPathExists=!/run/hotspare-gate/{name}.open\nIgnoreOnIsolate=yes\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nSlice=hotspare.slice\n\
         ExecStart=-systemctl --no-block --job-mode=fail start {}\n",
        header("At boot the node stands by; a role that is active or on its way is left alone"),
        names.standby(),
        name = names.name(),
    )
}

/// The drop-in of a user's unit: it runs only behind an open gate, and dies with it. The primary target *wants* it, because a
/// restart of a unit restarts what requires it, and with that the whole role. A failed start is told by OnFailure=; a stop by
/// hand is an operator's own business (PropagatesStopTo= would act on every crash as well: tried).
fn primary_unit(names: &Names, unit: &str, after: &[String]) -> String {
    let gate = names.gate();
    // Not `Requires=`: a unit that is enabled elsewhere would fail at every boot of a standby, instead of not being started.
    let needs = behind_the_storage(names.0);
    let after: String = after.iter().map(|unit| format!(" {unit}")).collect();
    let mut text = format!(
        "{}[Unit]\n{assert}{needs}After={gate}{after}\nStopPropagatedFrom={gate}\nPartOf={}\nOnFailure=hotspare-giveup@{}.service\nIgnoreOnIsolate=yes\n",
        header("This unit belongs to the primary role: it cannot be started elsewhere"),
        names.primary(),
        names.name(),
        assert = behind_the_gate(names),
    );
    if unit.ends_with(".service") {
        // Direct: a failure that Restart= mends is none, and OnFailure= is not started for it.
        text.push_str(&format!("\n[Service]\nSlice={}\nRestartMode=direct\n", names.slice()));
    }
    text
}

fn standby_unit(names: &Names, addresses: &[String]) -> String {
    let others: Vec<&str> = names.0.units.iter().chain(addresses).map(String::as_str).collect();
    format!(
        "{}[Unit]\nPartOf={}\nAfter={} {} {}\nIgnoreOnIsolate=yes\n",
        header("This unit belongs to the standby role: it starts when everything of the primary has stopped"),
        names.standby(),
        names.gate(),
        names.prove(),
        others.join(" "),
    )
}

/// The volume is served while the role is here. What it needs of the machine is the copy's own daemon, which runs in both roles; when
/// that dies, this fails, and the role goes to a node with a better copy. A holder that is killed leaves a device that somebody has to end.
fn volume_unit(names: &Names, volume: &Volume) -> String {
    let (gate, copy) = (names.gate(), format!("hotspare-replicate@{}.service", volume.name));
    // The drivers may be modules; where one is built in, or not there, that is no failure.
    let module = match volume.frontend {
        Frontend::Device => " modprobe@ublk_drv.service modprobe@nbd.service",
        Frontend::Ublk => " modprobe@ublk_drv.service",
        Frontend::Nbd => " modprobe@nbd.service",
        Frontend::Socket => "",
    };
    let wants = format!("Wants=hotspare-verify@{}.timer{module}\n", volume.name);
    let volume = &volume.name;
    let end = format!("hotspare-volume-end@{volume}.service");
    format!(
        "{}[Unit]\nDescription=Volume {volume} of the group {}\nDocumentation=man:hotspare-replicate(8)\n{assert}{wants}After={gate} {copy}{module} {end}\n\
         StopPropagatedFrom={gate}\nPartOf={}\nOnFailure={end} hotspare-giveup@{}.service\nIgnoreOnIsolate=yes\n\n\
         [Service]\nType=notify\nSlice={}\nExecStart={BINDIR}/hotspare-replicate serve {volume}\nTimeoutStartSec=90\nTimeoutStopSec=10\n\
         LimitCORE=0\nLimitMEMLOCK=infinity\nOOMScoreAdjust=-1000\n{CONFINED_HOLDER}",
        header("The volume: first up and last down"),
        names.name(),
        names.primary(),
        names.name(),
        names.slice(),
        assert = behind_the_gate(names),
    )
}

fn open_volume(volume: &Volume) -> String {
    format!("AssertPathExists=/run/hotspare-replicate/{}.open\n", volume.name)
}

fn claimed_disk(group: &Group, n: usize) -> String {
    format!("AssertPathExists=/run/hotspare-disk/{}-{}\n", group.name, n + 1)
}

/// What a unit that uses the volume or a disk finds when it starts.
fn behind_the_storage(group: &Group) -> String {
    let mounted =
        |mount: &Option<Mount>| mount.as_ref().map(|mount| format!("AssertPathIsMountPoint={}\n", mount.place));
    let volumes = group.volumes.iter();
    let volumes = volumes.map(|volume| open_volume(volume) + &mounted(&volume.mount).unwrap_or_default());
    let disks = group.shared.iter().enumerate();
    let disks = disks.map(|(n, disk)| claimed_disk(group, n) + &mounted(&disk.mount).unwrap_or_default());
    volumes.chain(disks).collect()
}

/// Takes the right to write to a shared disk away from everybody else, before anything reads from it. The directory is there as long as
/// this is active, and what needs the disk looks for it.
fn disk_unit(names: &Names, n: usize, disk: &SharedDisk) -> String {
    let (gate, group) = (names.gate(), names.name());
    let device = disk.device.to_string_lossy();
    format!(
        "{}[Unit]\nDescription=Disk {shown} of the group {group}\nDocumentation=man:hotspare-fence(8)\n{assert}After={gate}\n\
         StopPropagatedFrom={gate}\nPartOf={}\nOnFailure=hotspare-giveup@{group}.service\nIgnoreOnIsolate=yes\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nSlice={}\nExecStart={BINDIR}/hotspare-fence claim --group {group} {}\n\
         RuntimeDirectory=hotspare-disk/{group}-{}\nTimeoutStartSec=30\nTimeoutStopSec=5\nLimitCORE=0\n\
         CapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_OVERRIDE\nNoNewPrivileges=yes\n{CONFINED}",
        header("Nobody else can write to the disk once this has started"),
        names.primary(),
        names.slice(),
        word(&device),
        n + 1,
        shown = device.replace('%', "%%"),
        assert = behind_the_gate(names),
    )
}

/// Active on a node that stands by once the disk could be claimed there: it has come, and nothing of an earlier role has it any more. Its
/// process never runs beside the gate, which it would keep the disk from for a moment: a stop comes before a start of what is ordered.
/// Behind the target, which would wait for it otherwise, and with it whoever enters the standby role.
fn disk_free_unit(names: &Names, disk: &SharedDisk) -> String {
    let device = disk.device.to_string_lossy();
    let storage = names.0.storage_units().join(" ");
    format!(
        "{}[Unit]\nDescription=Disk {shown} could be taken by the group {group}\nDocumentation=man:hotspare-fence(8)\n\
         ConditionPathExists=!/run/hotspare-gate/{group}.open\nAfter={} {standby} {storage}\nPartOf={standby}\nStartLimitIntervalSec=0\nIgnoreOnIsolate=yes\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nSlice=hotspare.slice\nExecStart={BINDIR}/hotspare-fence free {}\n\
         Restart=on-failure\nRestartMode=direct\nRestartSec=1\nRestartSteps=6\nRestartMaxDelaySec=20\nTimeoutStartSec=30\nTimeoutStopSec=5\nLimitCORE=0\n\
         CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_SYS_PTRACE\nNoNewPrivileges=yes\n{CONFINED}",
        header("Where the disk is not there, or is still in use, this node is not ready"),
        names.gate(),
        word(&device),
        standby = names.standby(),
        group = names.name(),
        shown = device.replace('%', "%%"),
    )
}

/// A file system of the role. Without the default dependencies: it is not one of the machine's own, and comes long after them.
fn mount_unit(names: &Names, (device, unit, ready): (&str, &str, &str), mount: &Mount) -> String {
    let gate = names.gate();
    let options = mount.options.as_ref().map(|options| format!("Options={options}\n")).unwrap_or_default();
    // Somebody who sits in it does not keep it there: the holder of the volume has it written, then nothing of it can be.
    let (of, what, page, lazy) = match device.strip_prefix("/dev/hotspare/") {
        Some(volume) => (format!("the volume {volume}"), "volume", "hotspare-replicate", "LazyUnmount=yes\n"),
        None => (device.replace('%', "%%"), "disk", "hotspare-fence", ""),
    };
    format!(
        "{}[Unit]\nDescription=File system of {of}\nDocumentation=man:{page}(8)\n{assert}\
         {ready}DefaultDependencies=no\nConflicts=umount.target\nBefore=umount.target\n\
         After={gate} {unit}\nStopPropagatedFrom={gate}\nPartOf={}\nOnFailure=hotspare-giveup@{}.service\nIgnoreOnIsolate=yes\n\n\
         [Mount]\nWhat={}\nWhere={}\nType={}\n{options}{lazy}TimeoutSec=60\n",
        header(&format!("The file system on the {what}: behind it, and before everything that uses it")),
        names.primary(),
        names.name(),
        device.replace('%', "%%"),
        mount.place,
        mount.kind,
        assert = behind_the_gate(names),
    )
}

/// A probe runs as nobody in particular, unless its program needs a user of its own. Its end is that of the service.
fn probe_unit(names: &Names, probe: &Probe, addresses: &[String]) -> String {
    let (gate, group) = (names.gate(), names.0);
    let after: Vec<&str> = group.units.iter().chain(addresses).map(String::as_str).collect();
    let (what, command) = asks(probe);
    let user = probe.user.as_ref().map_or("DynamicUser=yes".to_owned(), |user| format!("User={user}"));
    format!(
        "{}[Unit]\nDescription=Probe {} of the group {}\nDocumentation=man:hotspare-probe(8)\n{assert}After={gate} {}\n\
         StopPropagatedFrom={gate}\nPartOf={}\nOnFailure=hotspare-giveup@{}.service\nIgnoreOnIsolate=yes\n\n\
         [Service]\nType=notify\nSlice={}\n\
         ExecStart={BINDIR}/hotspare-probe --group {} --interval {}ms --timeout {}ms --rise {} --fall {} {}\n\
         {user}\nTimeoutStartSec=90\nTimeoutStopSec=5\nRestart=on-success\nLimitCORE=0\n",
        header("Asks whether the service does its work"),
        what.replace('%', "%%"),
        names.name(),
        after.join(" "),
        names.primary(),
        names.name(),
        names.slice(),
        names.name(),
        probe.interval.as_millis(),
        probe.timeout.as_millis(),
        probe.rise,
        probe.fall,
        command,
        assert = behind_the_gate(names),
    )
}

/// What a probe asks, and the words that say so to `hotspare-probe`.
fn asks(probe: &Probe) -> (String, String) {
    let (how, what) = match &probe.kind {
        ProbeKind::Ping(address) => ("ping", vec![address.to_string()]),
        ProbeKind::Http(url) => ("http", vec![url.clone()]),
        ProbeKind::Tcp(address) => ("tcp", vec![address.to_string()]),
        ProbeKind::Exec(words) => ("exec", words.clone()),
    };
    let command: Vec<String> = [how].into_iter().chain(what.iter().map(String::as_str)).map(word).collect();
    (what[0].clone(), command.join(" "))
}

/// Runs on every candidate, whatever its role, as long as the lease client does. Only root may tell that one anything.
fn uplink_unit(names: &Names, uplink: &Probe) -> String {
    let (what, command) = asks(uplink);
    format!(
        "{}[Unit]\nDescription=Whether this node reaches {} (group {})\nDocumentation=man:hotspare-probe(8)\n\
         After=hotspare-leased.service network.target\nStartLimitIntervalSec=0\nIgnoreOnIsolate=yes\n\n\
         [Service]\nType=notify\nNotifyAccess=main\nRestart=always\nRestartSec=1\nSlice=hotspare.slice\n\
         ExecStart={BINDIR}/hotspare-probe --uplink --group {} --interval {}ms --timeout {}ms --rise {} --fall {} {}\n\
         TimeoutStopSec=5\nLimitCORE=0\nNoNewPrivileges=yes\nCapabilityBoundingSet=CAP_NET_RAW\n\
         ProtectSystem=strict\nProtectHome=yes\nPrivateTmp=yes\n{CONFINED}",
        header("Asks whether this node reaches its clients; the lease client hears of it"),
        what.replace('%', "%%"),
        names.name(),
        names.name(),
        uplink.interval.as_millis(),
        uplink.timeout.as_millis(),
        uplink.rise,
        uplink.fall,
        command,
    )
}

/// A word of a command line, as systemd.service(5) wants it quoted.
fn word(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

fn address_unit(names: &Names, place: &str) -> String {
    let gate = names.gate();
    format!(
        "{}[Unit]\nDescription=Address {place} of the group {}\nDocumentation=man:vip-claim(8)\n{assert}After={gate} {}\n\
         StopPropagatedFrom={gate}\nPartOf={}\nIgnoreOnIsolate=yes\nStartLimitIntervalSec=0\n\n\
         [Service]\nType=notify\nSlice={}\nExecStart={BINDIR}/vip-claim {place} --group {}\nRestart=always\nRestartMode=direct\nRestartSec=20ms\n\
         FileDescriptorStoreMax=2\n\
         RestartSteps=6\nRestartMaxDelaySec=2\nWatchdogSec=10\nTimeoutStopSec=5\nOOMScoreAdjust=-1000\n\
         CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW\nNoNewPrivileges=yes\n{CONFINED}",
        header("The address: last up and first down"),
        names.name(),
        names.0.units.join(" "),
        names.primary(),
        names.slice(),
        names.name(),
        assert = behind_the_gate(names),
    )
}
