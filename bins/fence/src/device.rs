//! One method of fencing, as a program that is run: a ClusterLabs fence agent (`FenceAgentAPI.md`: options on standard input, an exit code),
//! or a program of the user's that is called with the action as its last word and ends in the same way.

use crate::pill::Desk;
use hotspare_config::{Fence, FenceKind, Proof};
use hotspare_daemon::child::wait_within;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What a device is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    On,
    Off,
    Status,
    /// What it is and takes, as XML.
    Metadata,
}

impl Action {
    pub fn word(self) -> &'static str {
        match self {
            Action::On => "on",
            Action::Off => "off",
            Action::Status => "status",
            Action::Metadata => "metadata",
        }
    }
}

/// Whether a machine has power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    On,
    Off,
}

/// Exit code of an agent that is asked for the status of a machine without power.
const IS_OFF: i32 = 2;
/// Bytes of what a program says that are kept.
const SAID_MAX: u64 = 1 << 20;
/// How long the rest of what it said may take when it has ended.
const REST: Duration = Duration::from_secs(1);
/// Where credentials are, if this is not a unit that was given them.
const STORES: [&str; 2] = ["/etc/credstore", "/run/credstore"];

/// How it ended, and what it said.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A method, and the node that it is for.
pub struct Device<'a> {
    pub fence: &'a Fence,
    pub node: &'a str,
    /// Where a pill would be put.
    pub desk: Option<Desk>,
}

impl Device<'_> {
    /// For people: "fence_ipmilan", "/usr/local/sbin/power 3".
    pub fn name(&self) -> String {
        match &self.fence.kind {
            FenceKind::Agent(program) => program.clone(),
            FenceKind::Run(words) => words.join(" "),
            FenceKind::Pill => "pill".into(),
        }
    }

    /// Whose word a proof is.
    pub fn proof(&self) -> Proof {
        if self.fence.kind == FenceKind::Pill { Proof::Reset } else { Proof::PowerOff }
    }

    fn desk(&self) -> Option<&Desk> {
        self.desk.as_ref().filter(|_| self.fence.kind == FenceKind::Pill)
    }

    /// Has it do something.
    ///
    /// # Errors
    /// If it does not say that it has.
    pub fn act(&self, action: Action) -> Result<(), String> {
        if let Some(desk) = self.desk() {
            // Who was reset is on by itself.
            return if action == Action::Off { desk.put() } else { Ok(()) };
        }
        let said = self.ask(action)?;
        if said.code == Some(0) { Ok(()) } else { Err(self.why(action, &said)) }
    }

    /// Whether the node has power, by the device's own word.
    ///
    /// # Errors
    /// If it does not say.
    pub fn power(&self) -> Result<Power, String> {
        if let Some(desk) = self.desk() {
            return desk.power();
        }
        let said = self.ask(Action::Status)?;
        match said.code {
            Some(0) => Ok(Power::On),
            Some(IS_OFF) => Ok(Power::Off),
            _ => Err(self.why(Action::Status, &said)),
        }
    }

    fn why(&self, action: Action, said: &Said) -> String {
        let end = said.code.map_or("was killed".into(), |code| format!("ended with {code}"));
        let lines = if said.err.trim().is_empty() { &said.out } else { &said.err };
        let last = lines.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        format!("{} {}: {end}: {}", self.name(), action.word(), last.trim())
    }

    /// Runs it to its end, or until its time is up.
    ///
    /// # Errors
    /// If it cannot be run, or has no end.
    pub fn ask(&self, action: Action) -> Result<Said, String> {
        let (mut command, input) = self.command(action)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let name = self.name();
        let mut child = command.spawn().map_err(|error| format!("{name}: cannot run it: {error}"))?;
        let mut stdin = child.stdin.take().expect("it was asked for");
        let (out, err) = (child.stdout.take().expect("the same"), child.stderr.take().expect("the same"));
        // In threads of their own: a program that reads nothing, says much, or leaves somebody behind must not stop this.
        std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let (out, err) = (hear(out), hear(err));
        let ended = wait_within(&mut child, self.fence.timeout);
        let ended = ended.map_err(|error| format!("{name}: cannot wait for it: {error}"))?;
        let seconds = self.fence.timeout.as_secs();
        let code = ended.ok_or_else(|| format!("{name} {}: no end after {seconds} s", action.word()))?.code();
        let heard = |pipe: Receiver<String>| pipe.recv_timeout(REST).unwrap_or_default();
        Ok(Said { code, out: heard(out), err: heard(err) })
    }

    /// The program, and what it reads.
    fn command(&self, action: Action) -> Result<(Command, String), String> {
        match &self.fence.kind {
            FenceKind::Agent(program) => {
                let mut input = format!("action={}\n", action.word());
                if action != Action::Metadata {
                    input.push_str(&format!("nodename={}\n", self.node));
                    self.fence.options.iter().for_each(|(key, value)| input.push_str(&format!("{key}={value}\n")));
                    for (key, credential) in &self.fence.secrets {
                        input.push_str(&format!("{key}={}\n", secret(credential)?));
                    }
                }
                Ok((Command::new(program), input))
            }
            FenceKind::Run(words) => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).arg(action.word()).env("HOTSPARE_NODE", self.node);
                Ok((command, String::new()))
            }
            FenceKind::Pill => Err("a pill is no program".into()),
        }
    }
}

fn hear(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut pipe = pipe.take(SAID_MAX);
        let _ = pipe.read_to_end(&mut bytes);
        let _ = said.send(String::from_utf8_lossy(&bytes).into_owned());
        let _ = std::io::copy(&mut pipe.into_inner(), &mut std::io::sink()); // or a full pipe would stop it
    });
    heard
}

/// A systemd credential: what this unit was given, or a file of the store that everything is given from.
///
/// # Errors
/// If there is none, or it is not one line.
pub fn secret(name: &str) -> Result<String, String> {
    let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let places: Vec<PathBuf> =
        given.into_iter().chain(STORES.map(PathBuf::from)).map(|folder| folder.join(name)).collect();
    let found = places.iter().find_map(|place| fs::read_to_string(place).ok().map(|text| (place, text)));
    let Some((place, text)) = found else {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        return Err(format!("there is no credential \"{name}\" that can be read: {}", places.join(", ")));
    };
    let line = text.trim_end_matches('\n');
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err(format!("{} is not one line of text", place.display()));
    }
    Ok(line.to_owned())
}

/// Where a program is, as it would be found.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.is_absolute() {
        return path.is_file().then(|| path.to_owned());
    }
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(program))
        .find(|place| place.is_file())
}
