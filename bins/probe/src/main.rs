//! hotspare-probe: one question, again and again. The counting is `hotspare_core::probe`.

mod args;
mod ping;
mod uplink;

use args::{Args, Kind};
use hotspare_core::probe::{Tally, Verdict};
use hotspare_daemon::child::wait_within;
use hotspare_daemon::{Exit, Failure, Priority, journal, message_id, notify, record, run};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Until it is good for the first time it is asked this often: a role that is up should not wait for the next turn.
const EAGER: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    run(|args: Args| {
        if let Kind::Http { url } = &args.kind
            && !url.starts_with("http://")
        {
            let help = "for anything else run a program: hotspare-probe exec /usr/bin/curl -sf URL";
            return Err(Failure::new(Exit::Usage, format!("{url} is not an http:// address; {help}")));
        }
        if args.once {
            return match ask(&args) {
                Ok(()) => Ok(Exit::Done),
                Err(why) => Err(Failure::new(Exit::No, why)),
            };
        }
        journal::init();
        if args.uplink { uplink::watch(&args) } else { watch(&args) }
    })
}

fn watch(args: &Args) -> Result<Exit, Failure> {
    let mut tally = Tally::new(args.rise, args.fall);
    let mut up = false;
    loop {
        let began = Instant::now();
        let answer = ask(args);
        let verdict = tally.note(answer.is_ok());
        if let (Err(why), true) = (&answer, up) {
            let (bad, fall) = (tally.bad_in_a_row(), args.fall);
            tracing::warn!("{}: {} failed ({bad} of {fall} in a row): {why}", args.group, name(&args.kind));
            notify::status(&format!("{bad} of {fall} bad in a row: {why}"));
        }
        match verdict {
            Some(Verdict::Up) => {
                up = true;
                notify::ready("good");
            }
            Some(Verdict::Down) => {
                let why = answer.err().unwrap_or_default();
                let message =
                    format!("{}: {} failed {} times in a row: {why}", args.group, name(&args.kind), args.fall);
                let fields = [("GROUP", args.group.clone()), ("PROBE", name(&args.kind))];
                record(message_id::PROBE_FAILED, Priority::Error, message.clone(), &fields);
                return Err(Failure::new(Exit::No, message));
            }
            None if up && answer.is_ok() => notify::status("good"),
            None => {}
        }
        let pause = if up { args.interval } else { args.interval.min(EAGER) };
        std::thread::sleep(pause.saturating_sub(began.elapsed()));
    }
}

/// The probe in few words.
fn name(kind: &Kind) -> String {
    match kind {
        Kind::Ping { address } => format!("ping {address}"),
        Kind::Http { url } => format!("http {url}"),
        Kind::Tcp { address } => format!("tcp {address}"),
        Kind::Exec { program, .. } => format!("exec {}", program.display()),
    }
}

/// One question; an error says what is bad about the answer.
fn ask(args: &Args) -> Result<(), String> {
    match &args.kind {
        Kind::Ping { address } => ping::ping(*address, args.timeout),
        Kind::Http { url } => {
            let config = ureq::Agent::config_builder().timeout_global(Some(args.timeout)).max_redirects(0).build();
            let agent = ureq::Agent::new_with_config(config);
            agent.get(url).call().map(|_| ()).map_err(|error| error.to_string())
        }
        Kind::Tcp { address } => {
            TcpStream::connect_timeout(address, args.timeout).map(|_| ()).map_err(|error| error.to_string())
        }
        Kind::Exec { program, arguments } => {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).process_group(0);
            exec(&mut command, args.timeout)
        }
    }
}

fn exec(command: &mut Command, timeout: Duration) -> Result<(), String> {
    let mut child = command.spawn().map_err(|error| format!("cannot run it: {error}"))?;
    match wait_within(&mut child, timeout) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(status.to_string()),
        Ok(None) => Err(format!("no end after {} ms", timeout.as_millis())),
        Err(error) => Err(format!("cannot wait for it: {error}")),
    }
}
