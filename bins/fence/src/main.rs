//! hotspare-fence: switches other machines off. What is proof is decided in `plan`, how a device is spoken to in `device`.

mod args;
mod cluster;
mod device;
mod metadata;
mod pill;
mod plan;
mod reservation;

use args::{Act, Args};
use cluster::Shot;
use device::{Action, Device, Power};
use hotspare_config::{Config, FenceKind, Node, Proof};
use hotspare_control::{FENCE_TESTS, FenceTest};
use hotspare_daemon::exit::yes_or_no;
use hotspare_daemon::watchdog::{self, Watchdog};
use hotspare_daemon::{Exit, Failure, Priority, clock, identity, journal, message_id, run};
use hotspare_page::{Standing, Tenancy};
use pill::Desk;
use reservation::{Claimed, Disk, WhileHeld};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    run(|args: Args| {
        let config = hotspare_config::load(&args.config)?;
        let me = || identity::this_node(&config, args.node.as_deref());
        match &args.act {
            Act::Off { target } => off(&config, another(&config, target, &me()?.name)?),
            Act::On { target } => on(&config, with_devices(&config, target)?),
            Act::Reboot { target } => {
                let node = another(&config, target, &me()?.name)?;
                match off(&config, node)? {
                    Exit::Done => on(&config, node),
                    other => Ok(other),
                }
            }
            Act::Confirm { target, reason } => confirm(&config, target, reason, &me()?.name),
            Act::Status { target } => status(&config, &of(&config, target.as_deref())?),
            Act::List => list(&config),
            Act::Claim { group, device } => claim(&config, (group.as_deref(), device), &me()?.name),
            Act::Free { device } => free(device),
            Act::Test { target } => {
                test(&config, &of(&config, target.as_deref())?, me().ok().map(|node| node.name.as_str()))
            }
        }
    })
}

fn devices<'a>(config: &Config, node: &'a Node) -> Vec<Device<'a>> {
    // Whoever puts a pill there says who he is; nobody asks an operator's machine that is no node.
    let me = identity::this_node(config, None).map(|me| me.id).unwrap_or_default();
    let device = |fence| Device { fence, node: &node.name, desk: Desk::new(config, node, me) };
    node.fences.iter().map(device).collect()
}

fn node<'a>(config: &'a Config, name: &str) -> Result<&'a Node, Failure> {
    config.node(name).ok_or_else(|| {
        let known: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
        let message = format!("the configuration has no node \"{name}\" (it has: {})", known.join(", "));
        Failure::new(Exit::Config, message)
    })
}

fn with_devices<'a>(config: &'a Config, name: &str) -> Result<&'a Node, Failure> {
    let node = node(config, name)?;
    if node.fences.is_empty() {
        let help = "for example: fence \"agent\" \"fence_ipmilan\" { option \"ip\" \"203.0.113.5\"; }";
        return Err(Failure::new(Exit::Config, format!("\"{name}\" has no `fence` in the configuration; {help}")));
    }
    Ok(node)
}

/// Somebody else: nobody can say of himself that he is off.
fn another<'a>(config: &'a Config, name: &str, me: &str) -> Result<&'a Node, Failure> {
    if name == me {
        let help = "what is to be off is told by another node; to shut this one down: systemctl poweroff";
        return Err(Failure::new(Exit::Usage, format!("\"{name}\" is this node: {help}")));
    }
    with_devices(config, name)
}

fn of<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a Node>, Failure> {
    if let Some(name) = name {
        return Ok(vec![with_devices(config, name)?]);
    }
    let all: Vec<&Node> = config.nodes.iter().filter(|node| !node.fences.is_empty()).collect();
    if all.is_empty() {
        return Err(Failure::new(Exit::Config, "no node has a `fence` in the configuration"));
    }
    Ok(all)
}

/// A record in the journal, and a line for whoever asked.
fn tell(id: &str, priority: Priority, message: String, fields: &[(&str, String)]) {
    if std::env::var_os("JOURNAL_STREAM").is_none() {
        println!("{message}");
    }
    if let Err(error) = journal::keep(id, priority, message, fields) {
        eprintln!("hotspare-fence: the journal has no record of this: {error}");
    }
}

fn off(config: &Config, node: &Node) -> Result<Exit, Failure> {
    let began = Instant::now();
    let shot =
        Shot::begin(&node.name).inspect_err(|why| eprintln!("hotspare-fence: no lease ends early by this: {why}"));
    let ended = plan::off(&devices(config, node));
    let proof = ended.as_ref().ok().map(|(_, proof)| *proof);
    shot.into_iter().for_each(|shot| shot.end(proof));
    let seconds = began.elapsed().as_secs_f64();
    match ended {
        Ok((level, proof)) => {
            let message = format!("{} is off, proven by {} (level {level}, {seconds:.1} s)", node.name, proof.word());
            let fields = [("PEER", node.name.clone()), ("PROOF", proof.word().to_owned())];
            tell(message_id::FENCED, Priority::Warning, message, &fields);
            Ok(Exit::Done)
        }
        Err(said) => {
            let message = format!("{} is not proven to be off: {}", node.name, said.join("; "));
            let fields = [("PEER", node.name.clone()), ("REASON", said.join("; "))];
            tell(message_id::FENCE_FAILED, Priority::Error, message, &fields);
            Ok(Exit::No)
        }
    }
}

/// An operator's word takes the place of a device's.
fn confirm(config: &Config, target: &str, reason: &str, me: &str) -> Result<Exit, Failure> {
    let node = node(config, target)?;
    if node.name == me {
        return Err(Failure::new(Exit::Usage, format!("\"{me}\" is this node, and it is not off")));
    }
    if reason.trim().is_empty() || reason.chars().any(char::is_control) {
        let help = "one line of text, for whoever reads the journal: --reason \"its power supply is on my desk\"";
        return Err(Failure::new(Exit::Usage, format!("the reason is empty, or not one line; {help}")));
    }
    Shot::begin(&node.name).map_err(|why| Failure::new(Exit::Unavailable, why))?.end(Some(Proof::Human));
    let uid = std::env::var("SUDO_UID").unwrap_or_else(|_| nix::unistd::getuid().to_string());
    let proof = Proof::Human.word().to_owned();
    let message = format!("{} is off, says uid {uid}: {reason}", node.name);
    let fields = [("PEER", node.name.clone()), ("PROOF", proof), ("UID", uid), ("REASON", reason.to_owned())];
    tell(message_id::FENCED, Priority::Warning, message, &fields);
    Ok(Exit::Done)
}

/// Nobody but this node writes to `device` from now on.
fn claim(config: &Config, (group, device): (Option<&str>, &Path), me: &str) -> Result<Exit, Failure> {
    let key = |name: &str| reservation::key(&config.cluster, name);
    let others: Vec<(&str, u64)> = config.nodes.iter().map(|node| (node.name.as_str(), key(&node.name))).collect();
    let failed = |why: String| Failure::new(Exit::No, format!("{}: {why}", device.display()));
    let mut tenancy = group.map(Tenancy::open).transpose().map_err(|why| failed(why.to_string()))?;
    let held = || tenancy.as_mut().is_none_or(|tenancy| tenancy.look(clock::now()) == Standing::Good);
    let mut disk = WhileHeld(Disk::open(device).map_err(failed)?, held);
    let Claimed { lost, strangers } = reservation::claim(&mut disk, key(me), &others).map_err(failed)?;
    disk.0.forget().map_err(failed)?;
    let from = if lost.is_empty() { "nobody".into() } else { lost.join(", ") };
    println!("{}: of all nodes only {me} can write to it now (taken from: {from})", device.display());
    for key in strangers {
        eprintln!(
            "hotspare-fence: {}: whoever registered the key {key:#x} can write to it as well, and is no node of this cluster: one \
             that was taken out of the file? (sg_persist, or nvme resv-report, shows it; preempting it ends that)",
            device.display()
        );
    }
    Ok(Exit::Done)
}

/// Whether [`claim`] would find the disk as it has to be.
fn free(device: &Path) -> Result<Exit, Failure> {
    let failed = |why: String| Failure::new(Exit::No, format!("{}: {why}", device.display()));
    Disk::look(device).map_err(failed)?;
    println!("{}: it is there, and nothing on this machine has it", device.display());
    Ok(Exit::Done)
}

fn on(config: &Config, node: &Node) -> Result<Exit, Failure> {
    match plan::on(&devices(config, node)) {
        Ok(()) => {
            println!("{} has power", node.name);
            Ok(Exit::Done)
        }
        Err(said) => Err(Failure::new(Exit::No, format!("{} has no power: {}", node.name, said.join("; ")))),
    }
}

fn status(config: &Config, nodes: &[&Node]) -> Result<Exit, Failure> {
    let mut all_say = true;
    for device in nodes.iter().flat_map(|node| devices(config, node)) {
        let power = match device.power() {
            Ok(Power::On) => "on".to_owned(),
            Ok(Power::Off) => "off".to_owned(),
            Err(why) => {
                all_say = false;
                format!("unknown: {why}")
            }
        };
        println!("{}  level {}  {}  {power}", device.node, device.fence.level, device.name());
    }
    Ok(yes_or_no(all_say))
}

fn list(config: &Config) -> Result<Exit, Failure> {
    for device in of(config, None)?.into_iter().flat_map(|node| devices(config, node)) {
        let fence = device.fence;
        let options = fence.options.iter().map(|(key, value)| format!(" {key}={value}"));
        let secrets = fence.secrets.iter().map(|(key, name)| format!(" {key}=(credential {name})"));
        let options: String = options.chain(secrets).collect();
        let timeout = fence.timeout.as_secs();
        println!("{}  level {}  {}{options}  (timeout {timeout} s)", device.node, fence.level, device.name());
    }
    Ok(Exit::Done)
}

fn test(config: &Config, nodes: &[&Node], me: Option<&str>) -> Result<Exit, Failure> {
    let mut all_wrong = 0;
    for node in nodes {
        let (mut wrong, mut levels) = (Vec::new(), plan::levels(&devices(config, node)));
        for device in devices(config, node) {
            let what = format!("{}  level {}  {}", device.node, device.fence.level, device.name());
            match look(&device, me) {
                Ok(power) => println!("ok     {what}: {power}"),
                Err(all) => {
                    all.iter().for_each(|why| println!("wrong  {what}: {why}"));
                    levels.retain(|level| *level != device.fence.level);
                    wrong.push(format!("level {} {}: {}", device.fence.level, device.name(), all.join(", ")));
                }
            }
        }
        all_wrong += wrong.len();
        keep(node, wrong, !levels.is_empty());
    }
    // What this machine does to itself is no device of the list, and is said all the same.
    println!("self   {}", watchdog::summary(&Watchdog::all(Path::new(watchdog::FOLDER))).1);
    if all_wrong > 0 {
        return Err(Failure::new(Exit::No, format!("{all_wrong} devices would not do their work")));
    }
    Ok(Exit::Done)
}

/// For `hotspare status`, and for the journal if something is wrong: an error if nothing is left that would switch the node off.
fn keep(node: &Node, wrong: Vec<String>, a_level_is_left: bool) {
    if !wrong.is_empty() {
        let (priority, so) = match a_level_is_left {
            true => (Priority::Warning, "another level is left"),
            false => (Priority::Error, "it could not be switched off"),
        };
        let message = format!("fence devices of {} would not do their work, {so}: {}", node.name, wrong.join("; "));
        let fields = [("PEER", node.name.clone()), ("REASON", wrong.join("; "))];
        if let Err(error) = journal::keep(message_id::FENCE_DEVICE, priority, message, &fields) {
            eprintln!("hotspare-fence: the journal has no record of this: {error}");
        }
    }
    if !nix::unistd::geteuid().is_root() {
        return; // what anybody finds is what he may see
    }
    let at_s = Duration::from_nanos(clock::now().boot).as_secs();
    let text = serde_json::to_string(&FenceTest { at_s, wrong }).expect("plain data");
    let path = Path::new(FENCE_TESTS).join(&node.name);
    let fresh = path.with_extension("new");
    let written = std::fs::create_dir_all(FENCE_TESTS)
        .and_then(|()| std::fs::write(&fresh, text))
        .and_then(|()| std::fs::rename(&fresh, &path));
    if let Err(error) = written {
        eprintln!("hotspare-fence: cannot write {}: {error}; `hotspare status` does not show this", path.display());
    }
}

/// What can be known of a device without pulling the trigger.
fn look(device: &Device<'_>, me: Option<&str>) -> Result<&'static str, Vec<String>> {
    let program = match &device.fence.kind {
        FenceKind::Agent(program) => Some(program),
        FenceKind::Run(words) => Some(&words[0]),
        FenceKind::Pill => None,
    };
    if let Some(program) = program.filter(|program| device::find(program).is_none()) {
        return Err(vec![format!(
            "there is no program {program} (PATH: {})",
            std::env::var("PATH").unwrap_or_default()
        )]);
    }
    let mut wrong: Vec<String> = device.fence.secrets.values().filter_map(|name| device::secret(name).err()).collect();
    if matches!(device.fence.kind, FenceKind::Agent(_)) {
        match device.ask(Action::Metadata) {
            Ok(said) => wrong.extend(metadata::wrong(&said.out, device.fence)),
            Err(why) => wrong.push(why),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong); // it would only say the same in other words
    }
    match device.power() {
        Ok(Power::Off) if me == Some(device.node) => {
            Err(vec!["it says that this very machine has no power: it is another one's plug".into()])
        }
        Ok(Power::On) => Ok("on"),
        Ok(Power::Off) => Ok("off"),
        Err(why) => Err(vec![why]),
    }
}
