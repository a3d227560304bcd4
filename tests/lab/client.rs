//! `lab-client ADDRESS:PORT --out FILE [--history FILE]`: asks a web server every 2 ms who it is, until it is told to stop, and says what a
//! client saw: the longest gap between two answers, and which nodes answered, in order.
//!
//! Each question is a connection of its own, many may be under way. A clock that all nodes share (they run on one
//! kernel) stamps each answer, so that the outage can be laid over the journals.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

const EVERY: Duration = Duration::from_millis(2);
/// Answers after which it tells systemd that it sees the service.
const READY: usize = 100;
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Seen {
    sent: u64,
    answers: Vec<(Instant, String)>,
    /// When each of them was asked for.
    asked: Vec<Instant>,
}

async fn ask(target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    stream.write_all(b"GET /who HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    if head.contains(" 200 ") { Ok(body.trim().to_owned()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut args = std::env::args().skip(1);
    let target = args.next().expect("ADDRESS:PORT");
    let out = args.nth(1).expect("--out FILE");
    let history = args.nth(1);
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (origin, wall) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (open, mut under_way) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = every.tick() => {}
        }
        let (target, seen, open) = (target.clone(), seen.clone(), open.clone());
        seen.lock().expect("not poisoned").sent += 1;
        tokio::spawn(async move {
            let began = Instant::now();
            if let Ok(Ok(name)) = tokio::time::timeout(PATIENCE, ask(&target)).await {
                let mut seen = seen.lock().expect("not poisoned");
                seen.answers.push((Instant::now(), name));
                seen.asked.push(began);
                if seen.answers.len() == READY {
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
                }
            }
            drop(open);
        });
    }
    drop(open);
    under_way.recv().await; // nothing is sent: this is the end of the last question
    let seen = seen.lock().expect("not poisoned");
    let at = |moment: Instant| (wall + (moment - origin)).as_micros();
    if let Some(path) = history {
        let mut text = String::new();
        for ((to, name), from) in seen.answers.iter().zip(&seen.asked) {
            let (from, to) = (u64::try_from(at(*from)).expect("fits"), u64::try_from(at(*to)).expect("fits"));
            let line = serde_json::json!({"key": "default", "op": "read", "value": name, "from": from, "to": to});
            text.push_str(&format!("{line}\n"));
        }
        std::fs::write(path, text).expect("writable");
    }
    let mut turns: Vec<&str> = Vec::new();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut gap = (Duration::ZERO, origin, origin);
    for (index, (moment, name)) in seen.answers.iter().enumerate() {
        *counts.entry(name).or_default() += 1;
        if turns.last() != Some(&name.as_str()) {
            turns.push(name);
        }
        if let Some((before, _)) = index.checked_sub(1).map(|before| &seen.answers[before]) {
            gap = gap.max((*moment - *before, *before, *moment));
        }
    }
    let report = serde_json::json!({
        "sent": seen.sent, "answers": seen.answers.len(), "turns": turns, "counts": counts,
        "outage_ms": gap.0.as_secs_f64() * 1000.0, "from_usec": at(gap.1), "to_usec": at(gap.2),
    });
    let mut file = std::fs::File::create(format!("{out}.new")).expect("writable");
    writeln!(file, "{report}").expect("writable");
    std::fs::rename(format!("{out}.new"), out).expect("writable");
}
