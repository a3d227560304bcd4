use super::*;
use crate::holder::client::Stream;
use crate::nbd::{DATA_MAX, REQUEST};
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

fn request(kind: u16, handle: u64, length: u32, data: &[u8]) -> Vec<u8> {
    let magic = REQUEST.to_be_bytes();
    let head = [magic.as_slice(), &[0, 0], &kind.to_be_bytes(), &handle.to_be_bytes(), &[0; 8]].concat();
    [&head, length.to_be_bytes().as_slice(), data].concat()
}

fn reply(handle: u64, error: u32, data: &[u8]) -> Vec<u8> {
    [REPLY.to_be_bytes().as_slice(), &error.to_be_bytes(), &handle.to_be_bytes(), data].concat()
}

fn hear(stream: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

struct Bench {
    client: UnixStream,
    post: Post<Order>,
    lost: Receiver<()>,
    ended: JoinHandle<io::Result<()>>,
}

fn bench() -> Bench {
    let (client, ours) = UnixStream::pair().unwrap();
    let (told, lost) = channel();
    let (mut relay, post) = Relay::new(Stream::new(ours).unwrap(), told).unwrap();
    Bench { client, post, lost, ended: std::thread::spawn(move || relay.run()) }
}

fn engine(bench: &Bench) -> UnixStream {
    let (engine, theirs) = UnixStream::pair().unwrap();
    bench.post.send(Order::Engine(theirs)).unwrap();
    engine
}

fn seal(bench: &Bench) -> usize {
    let (count, counted) = channel();
    bench.post.send(Order::Seal(count)).unwrap();
    counted.recv().unwrap()
}

#[test]
fn what_an_engine_did_not_answer_is_asked_of_the_next_in_order_and_answered_once() {
    let mut bench = bench();
    let mut first = engine(&bench);
    let asked = [request(WRITE, 1, 3, b"one"), request(READ, 2, 4, b""), request(WRITE, 3, 5, b"three")];
    for one in &asked {
        bench.client.write_all(one).unwrap();
        assert_eq!(&hear(&mut first, one.len()), one);
    }
    first.write_all(&reply(1, 0, b"")).unwrap();
    assert_eq!(hear(&mut bench.client, 16), reply(1, 0, b""));
    first.write_all(&reply(2, 0, b"ha")).unwrap(); // half of what was read, then it dies
    drop(first);
    bench.lost.recv().unwrap();
    let mut second = engine(&bench);
    for one in &asked[1..] {
        assert_eq!(&hear(&mut second, one.len()), one);
    }
    second.write_all(&[reply(3, 0, b""), reply(2, 0, b"read")].concat()).unwrap();
    assert_eq!(hear(&mut bench.client, 36), [reply(3, 0, b""), reply(2, 0, b"read")].concat());
    bench.client.write_all(&asked[0]).unwrap(); // the handle is free again
    assert_eq!(hear(&mut second, asked[0].len()), asked[0]);
}

#[test]
fn what_is_asked_while_there_is_no_engine_waits_for_one() {
    let mut bench = bench();
    let one = request(WRITE, 9, 2, b"hi");
    bench.client.write_all(&one).unwrap();
    let mut engine = engine(&bench);
    assert_eq!(hear(&mut engine, one.len()), one);
}

#[test]
fn a_sealed_relay_answers_everything_with_an_error_and_an_answer_that_comes_late_is_not_passed_on() {
    let mut bench = bench();
    let mut engine = engine(&bench);
    for one in [request(WRITE, 1, 2, b"hi"), request(READ, 2, 512, b"")] {
        bench.client.write_all(&one).unwrap();
        hear(&mut engine, one.len());
    }
    assert_eq!(seal(&bench), 2);
    assert_eq!(hear(&mut bench.client, 32), [reply(1, 5, b""), reply(2, 5, b"")].concat());
    let _ = engine.write_all(&reply(1, 0, b""));
    bench.client.write_all(&request(WRITE, 3, 2, b"ho")).unwrap();
    assert_eq!(hear(&mut bench.client, 16), reply(3, 5, b""), "not the one of 1");
    assert_eq!(seal(&bench), 0);
}

#[test]
fn who_has_too_much_under_way_waits_until_some_of_it_is_answered() {
    let mut bench = bench();
    let (length, count) = (1 << 20, KEPT_MAX as u64 >> 20);
    let asking = bench.client.try_clone().unwrap();
    let asked = std::thread::spawn(move || {
        let data = vec![7; length];
        for handle in 0..count + 2 {
            (&asking).write_all(&request(WRITE, handle, u32::try_from(length).unwrap(), &data)).unwrap();
        }
    });
    let mut engine = engine(&bench);
    for handle in 0..count {
        assert_eq!(Kept::handle(hear(&mut engine, HEAD + length)[..HEAD].first_chunk().unwrap()), handle);
    }
    engine.set_nonblocking(true).unwrap();
    std::thread::yield_now();
    assert!(engine.read(&mut [0]).is_err(), "no room for more");
    engine.set_nonblocking(false).unwrap();
    for handle in 0..count + 2 {
        engine.write_all(&reply(handle, 0, b"")).unwrap();
        assert_eq!(hear(&mut bench.client, 16), reply(handle, 0, b""));
        if handle < 2 {
            hear(&mut engine, HEAD + length);
        }
    }
    asked.join().unwrap();
}

#[test]
fn answers_are_fetched_for_a_client_that_takes_them_and_all_of_them_pass() {
    let mut bench = bench();
    let mut engine = engine(&bench);
    let count = 2 * (KEPT_MAX as u64 >> 20);
    for handle in 0..count {
        bench.client.write_all(&request(READ, handle, 1 << 20, b"")).unwrap();
        hear(&mut engine, HEAD);
    }
    engine.set_nonblocking(true).unwrap();
    let answers: Vec<u8> = (0..count).flat_map(|handle| reply(handle, 0, &vec![7; 1 << 20])).collect();
    let mut sent = 0;
    let mut idle = 0;
    // Until the relay has taken nothing for a while: it is full, or everything has gone.
    while sent < answers.len() && idle < 1000 {
        match engine.write(&answers[sent..]) {
            Ok(length) => (sent, idle) = (sent + length, 0),
            Err(_) => idle += 1,
        }
        std::thread::yield_now();
    }
    assert!(sent < KEPT_MAX + (8 << 20), "{sent} bytes were fetched for nobody");
    engine.set_nonblocking(false).unwrap();
    let rest = answers[sent..].to_vec();
    let answering = std::thread::spawn(move || engine.write_all(&rest).map(|()| engine));
    assert!(hear(&mut bench.client, answers.len()) == answers);
    answering.join().unwrap().unwrap();
}

#[test]
fn large_answers_pass_whole() {
    let mut bench = bench();
    let mut engine = engine(&bench);
    let data: Vec<u8> = (0..3 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    bench.client.write_all(&request(READ, 1, 3 << 20, b"")).unwrap();
    hear(&mut engine, HEAD);
    let (sent, answered) = (reply(1, 0, &data), reply(1, 0, &data));
    let answering = std::thread::spawn(move || engine.write_all(&sent).map(|()| engine));
    assert!(hear(&mut bench.client, answered.len()) == answered);
    answering.join().unwrap().unwrap();
}

#[test]
fn who_speaks_no_nbd_is_hung_up_on_and_who_says_goodbye_is_let_go() {
    for (said, good) in [
        (vec![7; HEAD], false),
        ([request(READ, 1, 512, b""), request(READ, 1, 512, b"")].concat(), false), // which of the two would an answer be for?
        (request(WRITE, 1, DATA_MAX + 1, b""), false),
        (request(DISCONNECT, 1, 0, b""), true),
        (Vec::new(), true),
    ] {
        let mut bench = bench();
        bench.client.write_all(&said).unwrap();
        drop(bench.client);
        assert_eq!(bench.ended.join().unwrap().is_ok(), good, "{said:?}");
    }
}
