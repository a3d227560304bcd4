//! `lab-volume`: a user of a volume, over its NBD socket. Writes numbered records, with a flush now and then, and notes in a file how far
//! it was answered; checks that everything up to a number is there.
//!
//! Record n goes to place n modulo [`PLACES`], so each place must hold the newest record that was acknowledged for it, or a newer one.

mod nbd;

use nbd::{BLOCK, Kind, Volume, end};
use std::io;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

/// 8 MiB: two extents.
const PLACES: u64 = 2048;
/// Records that are under way at a time.
const DEPTH: u64 = 16;
const USAGE: &str = "lab-volume find SOCKET FILE   notes in FILE.found what is there, and renames FILE to FILE.before
lab-volume write SOCKET FILE  writes until it is killed or fails; FILE holds the number that was acknowledged last
lab-volume check FILE NUMBER  whether all records up to NUMBER were there, by FILE.found; prints the newest one
lab-volume read SOCKET        reads everything
lab-volume size SOCKET        how many bytes there are";

/// A block that no other number makes.
fn record(number: u64) -> Vec<u8> {
    let mut word = number;
    let words = (0..BLOCK as u64 / 8).map(|at| {
        word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(at);
        if at == 0 { number } else { word }
    });
    words.flat_map(u64::to_be_bytes).collect()
}

/// The numbers of all places; 0: never written.
fn numbers(volume: &mut Volume) -> io::Result<Vec<u64>> {
    let mut all = Vec::new();
    for place in 0..PLACES {
        let block = volume.read(place)?;
        let number = u64::from_be_bytes(block[..8].try_into().expect("eight"));
        if number != 0 && (number % PLACES != place || block != record(number)) {
            return Err(io::Error::other(format!("place {place} holds what was never written there")));
        }
        all.push(number);
    }
    Ok(all)
}

fn find(socket: &str, file: &str) -> io::Result<()> {
    let found = numbers(&mut Volume::open(socket)?.0)?;
    let _ = std::fs::rename(file, format!("{file}.before"));
    std::fs::write(format!("{file}.found"), found.iter().map(|number| format!("{number}\n")).collect::<String>())
}

fn write(socket: &str, file: &str) -> io::Result<()> {
    let (mut volume, _) = Volume::open(socket)?;
    let mut next = numbers(&mut volume)?.into_iter().max().unwrap_or(0) + 1;
    let noted = std::fs::File::create(file)?;
    // All before are there: they were just read, and the first flush covers them.
    let (mut done, mut under_way) = (next - 1, std::collections::BTreeSet::new());
    loop {
        while (under_way.len() as u64) < DEPTH {
            volume.ask(Kind::Write, next, next % PLACES, &record(next))?;
            under_way.insert(next);
            next += 1;
        }
        under_way.remove(&volume.answer()?);
        let reached = under_way.first().map_or(next - 1, |oldest| oldest - 1);
        if reached > done && under_way.len() as u64 == DEPTH - 1 {
            done = reached;
            noted.write_all_at(format!("{done:020}\n").as_bytes(), 0)?;
        }
        if next.is_multiple_of(200) {
            while !under_way.is_empty() {
                under_way.remove(&volume.answer()?);
            }
            volume.flush()?;
        }
    }
}

fn check(file: &str, acknowledged: u64) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("{file}.found"))?;
    let all: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for (place, number) in (0..PLACES).zip(&all) {
        // The newest record up to the one that was acknowledged last that belongs here.
        let least = (acknowledged.saturating_sub(PLACES - 1)..=acknowledged).find(|number| number % PLACES == place);
        if let Some(least) = least.filter(|least| least > number) {
            return Err(io::Error::other(format!("place {place} holds record {number}, and {least} was acknowledged")));
        }
    }
    Ok(all.into_iter().max().unwrap_or(0))
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["find", socket, file] => find(socket, file),
        ["write", socket, file] => write(socket, file),
        ["size", socket] => Volume::open(socket).map(|(_, size)| println!("{size}")),
        ["read", socket] => Volume::open(socket).and_then(|(mut volume, _)| numbers(&mut volume)).map(drop),
        ["check", file, number] => match number.trim().parse() {
            Ok(number) => check(file, number).map(|newest| println!("{newest}")),
            Err(_) => Err(io::Error::other(format!("{number:?} is no number"))),
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    end("lab-volume", done)
}
