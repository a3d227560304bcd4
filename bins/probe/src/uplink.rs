//! Whether this node reaches its clients: asked for as long as the node runs, and told to its lease client.

use crate::args::Args;
use crate::{ask, name};
use hotspare_control::{Ask, Client, ControlError};
use hotspare_core::probe::{Tally, Verdict};
use hotspare_daemon::{Exit, Failure, notify};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// The lease client answers at once, or is gone.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn watch(args: &Args) -> Result<Exit, Failure> {
    let mut tally = Tally::new(args.rise, args.fall);
    // Taken for good until it has failed: a probe that has just started must not make a node unfit.
    for _ in 0..args.rise {
        tally.note(true);
    }
    let (mut good, mut client) = (true, None);
    notify::ready("asking");
    loop {
        let began = Instant::now();
        let answer = ask(args);
        if let Some(verdict) = tally.note(answer.is_ok()) {
            good = verdict == Verdict::Up;
            client = None; // what was told is not true any more
        }
        let said = match (&answer, good) {
            (Ok(()), true) => "good".to_owned(),
            (Ok(()), false) => "answers again; not often enough yet".to_owned(),
            (Err(why), _) => format!("{} bad in a row: {why}", tally.bad_in_a_row()),
        };
        notify::status(&said);
        if client.as_ref().is_none_or(hung_up) {
            client = match tell(&args.group, good) {
                Ok(client) => Some(client),
                Err(error) => {
                    tracing::warn!("{}: {} cannot be told to the lease client: {error}", args.group, name(&args.kind));
                    None
                }
            };
        }
        std::thread::sleep(args.interval.saturating_sub(began.elapsed()));
    }
}

/// It holds for as long as the connection does.
fn tell(group: &str, good: bool) -> Result<Client, ControlError> {
    let mut client = Client::leased()?;
    client.patience(Some(PATIENCE))?;
    client.call(&Ask::Uplink { group: group.into(), good })?;
    client.socket().set_nonblocking(true)?;
    Ok(client)
}

/// Nothing more is ever said to this program: what can be read is the end.
fn hung_up(client: &Client) -> bool {
    let mut byte = [0];
    !matches!(std::io::Read::read(&mut client.socket(), &mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
}
