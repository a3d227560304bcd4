//! hotspare: the operator's command. It asks `hotspare-leased` and prints; it decides nothing.

mod apply;
mod args;
mod doctor;
mod force;
mod foresee;
mod status;
mod timing;

use args::{Args, Command, Explain};
use hotspare_control::{Ask, Client, Tell};
use hotspare_daemon::watchdog::{self, Watchdog};
use hotspare_daemon::{Exit, Failure, identity, message_id, run};
use hotspare_wire::Key;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    run(|args: Args| match args.command {
        Command::Check { file } => check(&file),
        Command::Keygen { out, force } => keygen(&out, force),
        Command::Status { json } => show_status(json),
        Command::Switchover { group, to } => ask(&Ask::Switchover { group, to }),
        Command::Apply { dry_run: true, file } => foresee::foresee(&file, call),
        Command::Apply { .. } => apply::apply(call),
        Command::Force { back: Some(name), .. } => force::back(&name, call),
        Command::Force { vote: true, .. } => force::vote(&votes()?, call),
        Command::Force { volume: Some(name), reason, .. } => {
            force::volume(&name, reason.as_deref().unwrap_or_default(), call)
        }
        Command::Force { lost, reason, .. } => force::lost(&lost, reason.as_deref().unwrap_or_default(), call),
        Command::Doctor { config, json } => doctor::look(&config, json),
        Command::Pause => ask(&Ask::Pause { on: true }),
        Command::Resume => ask(&Ask::Pause { on: false }),
        Command::Explain { what: Explain::Timing { config } } => {
            print(&timing::explain(&hotspare_config::load(&config)?));
            Ok(Exit::Done)
        }
        Command::Events { follow, group, json, explain } => events(follow, group.as_deref(), json, explain),
    })
}

/// Prints, and takes a closed pipe for "enough".
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn check(file: &Path) -> Result<Exit, Failure> {
    match hotspare_config::load(file) {
        Ok(config) => {
            let groups: Vec<_> = config.groups.iter().map(|group| group.name.as_str()).collect();
            print(&format!(
                "{}: no mistakes; cluster {}, {} nodes, {} of them vote, groups: {}\n",
                file.display(),
                config.cluster,
                config.nodes.len(),
                config.voters.len(),
                groups.join(", ")
            ));
            print(&costs(&config));
            Ok(Exit::Done)
        }
        Err(hotspare_config::LoadError::Mistakes(problems)) => {
            eprint!("{}", problems.render(std::io::stderr().is_terminal()));
            Ok(Exit::Config)
        }
        Err(error) => Err(Failure::new(Exit::Config, error)),
    }
}

/// What is allowed, and has a price.
fn costs(config: &hotspare_config::Config) -> String {
    let mut text = String::new();
    for group in config.groups.iter().filter(|_| config.fence_votes()) {
        let [one, other] = config.voters.as_slice() else { continue };
        // Missed just before a renewal (4/12), silent for a quarter more; then everything has to be done before the kill.
        let time = timing::ms(group.timetable.kill().saturating_sub(group.timetable.lease * 7 / 12));
        text.push_str(&format!(
            "note: {one} and {other} decide alone: whoever is proven to be off counts as granted. If either dies, the other goes on \
             only once its fence device has switched that one off; {} stops when this takes longer than {time}, and when the \
             device dies with the node nothing runs until somebody says so (hotspare-fence confirm). After both were off, both \
             are needed. A third machine that only votes costs less (hotspare-arbiter(8))\n",
            group.name
        ));
    }
    text
}

fn keygen(out: &Path, force: bool) -> Result<Exit, Failure> {
    let shown = out.display();
    if out.exists() && !force {
        let text = std::fs::read_to_string(out).unwrap_or_default();
        let help = match identity::parse_key(&text) {
            Some(key) => format!("its public key is {}", identity::format_key(&key).1),
            None => "it does not hold a key".into(),
        };
        return Err(Failure::new(Exit::CantCreate, format!("{shown} is there already ({help}); --force replaces it")));
    }
    let (private, public) = identity::format_key(&Key::generate());
    let failed = Exit::CantCreate.why(format!("cannot write {shown}"));
    let write = || -> std::io::Result<()> {
        if let Some(folder) = out.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = out.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(private.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, out)
    };
    write().map_err(failed)?;
    eprintln!("hotspare: wrote the private key to {shown}; this is the public one, for every node's configuration:");
    println!("{public}");
    Ok(Exit::Done)
}

fn call(question: &Ask) -> Result<Tell, Failure> {
    let unavailable = |error| Failure::new(Exit::Unavailable, error);
    Client::leased().map_err(unavailable)?.call(question).map_err(unavailable)
}

/// A machine that only votes has no lease client; its arbiter says what it knows.
fn show_votes() -> Result<Exit, Failure> {
    print(&votes()?);
    Ok(Exit::Done)
}

/// What the arbiter of this machine says, in JSON.
fn votes() -> Result<String, Failure> {
    let unavailable = |error| Failure::new(Exit::Unavailable, error);
    let line =
        Client::connect(Path::new(hotspare_control::ARBITER), "hotspare-arbiter").and_then(|mut client| client.line());
    line.map_err(unavailable)
}

fn show_status(json: bool) -> Result<Exit, Failure> {
    if !Path::new(hotspare_control::LEASED).exists() && Path::new(hotspare_control::ARBITER).exists() {
        return show_votes();
    }
    let status = match call(&Ask::Status)? {
        Tell::Status(status) => status,
        other => return Err(Failure::new(Exit::Protocol, format!("unexpected answer {other:?}"))),
    };
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&status).map_err(Exit::Software.why("cannot encode"))?));
    } else {
        let dogs = Watchdog::all(Path::new(watchdog::FOLDER));
        print(&status::render(&status, &apply::pending(&status), &dogs, std::io::stdout().is_terminal()));
    }
    Ok(Exit::Done)
}

fn ask(question: &Ask) -> Result<Exit, Failure> {
    match call(question)? {
        Tell::Done { text } => {
            println!("{text}");
            Ok(Exit::Done)
        }
        Tell::Refused { reason, retry } => {
            Err(Failure::new(if retry { Exit::TempFail } else { Exit::No }, format!("refused: {reason}")))
        }
        Tell::Error { reason, denied: true } => Err(Failure::new(Exit::NoPerm, reason)),
        Tell::Error { reason, .. } => Err(Failure::new(Exit::Usage, reason)),
        other => Err(Failure::new(Exit::Protocol, format!("unexpected answer {other:?}"))),
    }
}

fn events(follow: bool, group: Option<&str>, json: bool, explain: bool) -> Result<Exit, Failure> {
    let mut command = std::process::Command::new("journalctl");
    command.args(["--output", if json { "json" } else { "short-precise" }]);
    if follow {
        command.arg("--follow");
    }
    if explain {
        command.arg("--catalog");
    }
    command.args(message_id::ALL.iter().map(|(_, id)| format!("MESSAGE_ID={id}")));
    command.args(group.map(|group| format!("HOTSPARE_GROUP={group}")));
    Err(Failure::new(Exit::Unavailable, format!("cannot run journalctl: {}", command.exec())))
}
