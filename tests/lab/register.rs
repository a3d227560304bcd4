//! `lab-register`: numbers that are kept on a volume, and people who write and read them over the cluster's address. What they were told is a
//! history for `lab-history`.
//!
//! A write whose answer never came may take effect at any later time, so nobody writes to its register any more (the search for an order would
//! have to try it everywhere); what is in it is read until the end.

mod nbd;

use nbd::{BLOCK, Kind, Volume, end};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const USAGE: &str = "lab-register serve SOCKET PORT         keeps a number in each block of the volume at SOCKET
lab-register ask ADDRESS:PORT HISTORY  writes and reads until SIGTERM, then reads everything once more and writes HISTORY";
/// Who write and read the newest register; one more reads older ones.
const WRITERS: u64 = 3;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two questions of one client.
const PAUSE: Duration = Duration::from_millis(2);
/// The same where nobody answers.
const PAUSE_ALONE: Duration = Duration::from_millis(100);

/// Answers one client: `read KEY` and `write KEY NUMBER`, a line each.
fn answer(client: &TcpStream, socket: &str) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut volume, bytes) = Volume::open(socket)?;
    let mut out = client;
    for line in BufReader::new(client).lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let number =
            |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).ok_or(io::ErrorKind::InvalidData);
        let place = number(1)?;
        if place >= bytes / BLOCK as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let value = if words[0] == "write" {
            let mut block = vec![0; BLOCK];
            block[..8].copy_from_slice(&number(2)?.to_be_bytes());
            volume.ask(Kind::Write, 2, place, &block)?;
            volume.answer()?;
            volume.flush()?;
            number(2)?
        } else {
            u64::from_be_bytes(volume.read(place)?[..8].try_into().expect("eight"))
        };
        out.write_all(format!("{value}\n").as_bytes())?;
    }
    Ok(())
}

fn serve(socket: &str, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("::", port))?;
    UnixStream::connect(socket)?;
    sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
    for client in listener.incoming() {
        let (client, socket) = (client?, socket.to_owned());
        thread::spawn(move || {
            if let Err(error) = answer(&client, &socket) {
                // What the volume refuses is not answered: the client can not know whether it was done.
                eprintln!("lab-register: {error}");
            }
        });
    }
    Ok(())
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    /// The newest register; all before were written to as well.
    key: AtomicU64,
    /// The last number that was written anywhere.
    number: AtomicU64,
    history: Mutex<String>,
}

struct Client {
    target: SocketAddr,
    wire: Option<BufReader<TcpStream>>,
    shared: Arc<Shared>,
}

/// Microseconds since 1970, as in every other history of the lab.
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros()).expect("fits")
}

impl Client {
    fn new(target: SocketAddr, shared: &Arc<Shared>) -> Client {
        Client { target, wire: None, shared: shared.clone() }
    }

    /// One question and its answer. `None`: nobody was there to be asked.
    fn exchange(&mut self, line: &str) -> Option<io::Result<u64>> {
        if self.wire.is_none() {
            let wire = TcpStream::connect_timeout(&self.target, PATIENCE).ok()?;
            wire.set_nodelay(true).and_then(|()| wire.set_read_timeout(Some(PATIENCE))).expect("options");
            self.wire = Some(BufReader::new(wire));
        }
        let wire = self.wire.as_mut().expect("just made");
        let mut answer = String::new();
        let said = wire.get_mut().write_all(line.as_bytes()).and_then(|()| wire.read_line(&mut answer));
        let said = said.and_then(|_| answer.trim().parse().map_err(|_| io::ErrorKind::UnexpectedEof.into()));
        if said.is_err() {
            self.wire = None;
        }
        Some(said)
    }

    /// Writes what `number` says or reads, and notes it. Whether there was an answer.
    fn operate(&mut self, key: u64, number: Option<u64>) -> bool {
        let from = now();
        let line = number.map_or(format!("read {key}\n"), |number| format!("write {key} {number}\n"));
        let said = self.exchange(&line);
        let answered = matches!(said, Some(Ok(_)));
        let note = match (said, number) {
            (None, _) | (Some(Err(_)), None) => return false,
            (Some(Err(_)), Some(number)) => {
                self.shared.key.fetch_max(key + 1, SeqCst);
                serde_json::json!({"key": key.to_string(), "op": "write", "value": number.to_string(), "from": from, "to": null})
            }
            (Some(Ok(value)), _) => {
                let op = if number.is_some() { "write" } else { "read" };
                serde_json::json!({"key": key.to_string(), "op": op, "value": value.to_string(), "from": from, "to": now()})
            }
        };
        self.shared.history.lock().expect("not poisoned").push_str(&format!("{note}\n"));
        answered
    }
}

fn ask(target: &str, out: &str) -> io::Result<()> {
    let target: SocketAddr = target.parse().map_err(io::Error::other)?;
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::SIGTERM);
    signals.thread_block()?;
    let shared = Arc::new(Shared::default());
    let writer = |who: u64| {
        let mut client = Client::new(target, &shared);
        let (go_on, ended) = channel::<()>();
        let ask = move || {
            let (mut rng, mut pause) = (hotspare_core::rng::Rng::new(who), Duration::ZERO);
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let newest = client.shared.key.load(SeqCst);
                let (key, number) = match who {
                    WRITERS => (rng.below(newest + 1), None),
                    _ if rng.one_in(2) => (newest, Some(client.shared.number.fetch_add(1, SeqCst) + 1)),
                    _ => (newest, None),
                };
                pause = if client.operate(key, number) { PAUSE } else { PAUSE_ALONE };
            }
        };
        (go_on, thread::spawn(ask))
    };
    let (go_on, clients): (Vec<_>, Vec<_>) = (0..=WRITERS).map(writer).unzip();
    sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
    signals.wait()?;
    drop(go_on);
    for client in clients {
        client.join().expect("no client panics");
    }
    let (mut last, newest) = (Client::new(target, &shared), shared.key.load(SeqCst));
    let mut text = String::new();
    for key in 0..=newest {
        // Once more, if the connection of the one before had ended.
        if !(last.operate(key, None) || last.operate(key, None)) {
            return Err(io::Error::other(format!("register {key} is not answered for at the end")));
        }
        // The volume was empty.
        text.push_str(&format!(
            "{}\n",
            serde_json::json!({"key": key.to_string(), "op": "write", "value": "0", "from": 0, "to": 0})
        ));
    }
    text.push_str(&shared.history.lock().expect("not poisoned"));
    std::fs::write(out, text)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["serve", socket, port] => match port.parse() {
            Ok(port) => serve(socket, port),
            Err(_) => Err(io::Error::other(format!("{port:?} is no port"))),
        },
        ["ask", target, history] => ask(target, history),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    end("lab-register", done)
}
