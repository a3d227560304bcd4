use super::*;
use crate::holder::client::Stream;
use crate::holder::guests::KEPT_MAX;
use crate::holder::request::{DISCONNECT, WRITE};
use crate::nbd::{DATA_MAX, HEAD, REQUEST};
use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Instant;

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
    open: Arc<AtomicUsize>,
    ended: JoinHandle<io::Result<()>>,
}

impl Bench {
    /// One more client.
    fn client(&self, device: bool) -> UnixStream {
        let (client, ours) = UnixStream::pair().unwrap();
        self.open.fetch_add(1, Ordering::AcqRel);
        self.post.send(Order::Client { client: Box::new(Stream::new(ours).unwrap()), device }).unwrap();
        client
    }

    fn engine(&self) -> Engine {
        let (engine, theirs) = UnixStream::pair().unwrap();
        self.post.send(Order::Engine(theirs)).unwrap();
        Engine(engine)
    }

    fn seal(&self) -> usize {
        let (count, counted) = channel();
        self.post.send(Order::Seal(count)).unwrap();
        counted.recv().unwrap()
    }

    /// Until so many clients are counted: it is done in another thread, some time after what they see.
    fn wait_until_open(&self, count: usize) {
        let since = Instant::now();
        while self.open.load(Ordering::Acquire) != count {
            assert!(since.elapsed() < Duration::from_secs(10), "{:?} are open", self.open);
            std::thread::yield_now();
        }
    }
}

/// With the kernel's device, as `client`.
fn bench() -> Bench {
    let (told, lost) = channel();
    let open = Arc::new(AtomicUsize::new(0));
    let (mut relay, post) = Relay::new(told, open.clone()).unwrap();
    let ended = std::thread::spawn(move || relay.run());
    let (unused, _) = UnixStream::pair().unwrap();
    let mut bench = Bench { client: unused, post, lost, open, ended };
    bench.client = bench.client(true);
    bench
}

struct Engine(UnixStream);

impl Engine {
    /// Hears `request`, under what number.
    fn hear(&mut self, request: &[u8]) -> u64 {
        let mut heard = hear(&mut self.0, request.len());
        let number = handle(heard.first_chunk::<HEAD>().unwrap());
        rename(heard.first_chunk_mut::<HEAD>().unwrap(), handle(request.first_chunk::<HEAD>().unwrap()));
        assert!(heard == request, "the same but for its number");
        number
    }

    fn say(&mut self, answer: &[u8]) {
        self.0.write_all(answer).unwrap();
    }
}

#[test]
fn what_an_engine_did_not_answer_is_asked_of_the_next_in_order_and_answered_once() {
    let mut bench = bench();
    let mut first = bench.engine();
    let asked = [request(WRITE, 1, 3, b"one"), request(READ, 2, 4, b""), request(WRITE, 3, 5, b"three")];
    let numbers = asked.each_ref().map(|one| {
        bench.client.write_all(one).unwrap();
        first.hear(one)
    });
    first.say(&reply(numbers[0], 0, b""));
    assert_eq!(hear(&mut bench.client, 16), reply(1, 0, b""));
    first.say(&reply(numbers[1], 0, b"ha")); // half of what was read, then it dies
    drop(first);
    bench.lost.recv().unwrap();
    let mut second = bench.engine();
    assert_eq!([second.hear(&asked[1]), second.hear(&asked[2])], numbers[1..]);
    second.say(&[reply(numbers[2], 0, b""), reply(numbers[1], 0, b"read")].concat());
    assert_eq!(hear(&mut bench.client, 36), [reply(3, 0, b""), reply(2, 0, b"read")].concat());
    bench.client.write_all(&asked[0]).unwrap(); // the handle is free again
    second.hear(&asked[0]);
}

#[test]
fn all_clients_ask_in_one_order_and_in_the_same_once_more() {
    let mut bench = bench();
    let mut others = [bench.client(false), bench.client(false)];
    let mut first = bench.engine();
    let mut asked = Vec::new();
    // The same handles: each client has its own.
    for (n, word) in [b"aa", b"bb", b"cc", b"dd", b"ee", b"ff", b"gg"].iter().enumerate() {
        let one = request(WRITE, n as u64 / 3, 2, *word);
        let client = if n % 3 == 0 { &mut bench.client } else { &mut others[n % 3 - 1] };
        client.write_all(&one).unwrap();
        asked.push((n, first.hear(&one), one));
    }
    let (_, number, _) = asked.remove(2);
    first.say(&reply(number, 0, b""));
    assert_eq!(hear(&mut others[1], 16), reply(0, 0, b""));
    drop(first);
    bench.lost.recv().unwrap();
    let [second, third] = others; // this one is gone, but what it has asked for may have been done already
    drop(third);
    let mut again = bench.engine();
    for (_, number, one) in &asked {
        assert_eq!(again.hear(one), *number);
    }
    for (_, number, _) in asked.iter().rev() {
        again.say(&reply(*number, 0, b""));
    }
    assert_eq!(hear(&mut bench.client, 48), [2, 1, 0].map(|handle| reply(handle, 0, b"")).concat());
    let mut second = second;
    assert_eq!(hear(&mut second, 32), [1, 0].map(|handle| reply(handle, 0, b"")).concat());
    bench.wait_until_open(2);
}

#[test]
fn who_hangs_up_is_counted_until_everything_of_it_is_answered() {
    let bench = bench();
    let mut client = bench.client(false);
    let one = request(WRITE, 1, 2, b"hi");
    client.write_all(&one).unwrap();
    let mut engine = bench.engine();
    let number = engine.hear(&one);
    drop(client);
    let mut other = bench.client(false);
    other.write_all(&one).unwrap();
    let next = engine.hear(&one);
    engine.say(&reply(next, 0, b""));
    assert_eq!(hear(&mut other, 16), reply(1, 0, b""));
    assert_eq!(bench.open.load(Ordering::Acquire), 3, "the device, the one that is gone, the other");
    engine.say(&reply(number, 0, b""));
    bench.wait_until_open(2);
}

#[test]
fn what_is_asked_while_there_is_no_engine_waits_for_one() {
    let mut bench = bench();
    let one = request(WRITE, 9, 2, b"hi");
    bench.client.write_all(&one).unwrap();
    bench.engine().hear(&one);
}

#[test]
fn a_sealed_relay_answers_everything_with_an_error_and_an_answer_that_comes_late_is_not_passed_on() {
    let mut bench = bench();
    let mut other = bench.client(false);
    let mut engine = bench.engine();
    let asked = [request(WRITE, 1, 2, b"hi"), request(READ, 2, 512, b"")];
    bench.client.write_all(&asked[0]).unwrap();
    let number = engine.hear(&asked[0]);
    other.write_all(&asked[1]).unwrap();
    engine.hear(&asked[1]);
    assert_eq!(bench.seal(), 2);
    assert_eq!(hear(&mut bench.client, 16), reply(1, 5, b""));
    assert_eq!(hear(&mut other, 16), reply(2, 5, b""));
    let _ = engine.0.write_all(&reply(number, 0, b""));
    bench.client.write_all(&request(WRITE, 3, 2, b"ho")).unwrap();
    assert_eq!(hear(&mut bench.client, 16), reply(3, 5, b""), "not the one of 1");
    let mut late = bench.client(false);
    late.write_all(&asked[0]).unwrap();
    assert_eq!(hear(&mut late, 16), reply(1, 5, b""));
    assert_eq!(bench.seal(), 0);
}

#[test]
fn who_has_too_much_under_way_waits_until_some_of_it_is_answered_and_others_do_not() {
    let mut bench = bench();
    let (length, count) = (1 << 20, KEPT_MAX as u64 >> 20);
    let asking = bench.client.try_clone().unwrap();
    let data = vec![7; length];
    let one = move |handle| request(WRITE, handle, u32::try_from(length).unwrap(), &data);
    let all: Vec<Vec<u8>> = (0..count + 2).map(one).collect();
    let sent = all.clone();
    let asked = std::thread::spawn(move || sent.iter().for_each(|one| (&asking).write_all(one).unwrap()));
    let mut engine = bench.engine();
    let mut numbers: Vec<u64> = all[..usize::try_from(count).unwrap()].iter().map(|one| engine.hear(one)).collect();
    let mut other = bench.client(false);
    let small = request(READ, 7, 3, b"");
    other.write_all(&small).unwrap();
    let number = engine.hear(&small); // the next one: there is no room for more of the first
    engine.say(&reply(number, 0, b"yes"));
    assert_eq!(hear(&mut other, 19), reply(7, 0, b"yes"));
    for handle in 0..all.len() {
        engine.say(&reply(numbers[handle], 0, b""));
        assert_eq!(hear(&mut bench.client, 16), reply(handle as u64, 0, b""));
        if handle < 2 {
            numbers.push(engine.hear(&all[numbers.len()]));
        }
    }
    asked.join().unwrap();
}

#[test]
fn who_does_not_take_its_answers_is_not_asked_for_more_and_others_get_theirs() {
    let mut bench = bench();
    let mut engine = bench.engine();
    let (length, count) = (1 << 20, 2 * (KEPT_MAX >> 20));
    let asked: Vec<Vec<u8>> = (0..count).map(|handle| request(READ, handle as u64, length, b"")).collect();
    let data = vec![7; length as usize];
    asked.iter().for_each(|one| bench.client.write_all(one).unwrap());
    let mut answered = 0;
    let mut other = bench.client(false);
    let small = request(READ, 7, 3, b"");
    other.write_all(&small).unwrap();
    // Each of them until the one that came after the last for which there was room.
    loop {
        let mut head = hear(&mut engine.0, HEAD);
        let number = handle(head.first_chunk::<HEAD>().unwrap());
        rename(head.first_chunk_mut::<HEAD>().unwrap(), 7);
        if head == small {
            engine.say(&reply(number, 0, b"yes"));
            break;
        }
        engine.say(&reply(number, 0, &data));
        answered += 1;
    }
    assert_eq!(hear(&mut other, 19), reply(7, 0, b"yes"), "whoever takes them gets them");
    assert!(answered <= 66, "{answered} MiB were fetched for nobody");
    let mut taken = 0;
    while taken < count {
        if taken < answered {
            assert!(hear(&mut bench.client, ANSWER + length as usize) == reply(taken as u64, 0, &data));
            taken += 1;
        } else {
            let number = engine.hear(&asked[answered]);
            engine.say(&reply(number, 0, &data));
            answered += 1;
        }
    }
}

#[test]
fn large_answers_pass_whole() {
    let mut bench = bench();
    let mut engine = bench.engine();
    let data: Vec<u8> = (0..3 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let one = request(READ, 1, 3 << 20, b"");
    bench.client.write_all(&one).unwrap();
    let number = engine.hear(&one);
    let (sent, answered) = (reply(number, 0, &data), reply(1, 0, &data));
    let answering = std::thread::spawn(move || engine.say(&sent));
    assert!(hear(&mut bench.client, answered.len()) == answered);
    answering.join().unwrap();
}

#[test]
fn who_speaks_no_nbd_is_hung_up_on_and_nobody_else() {
    let mut bench = bench();
    let mut engine = bench.engine();
    for said in [
        vec![7; HEAD],
        request(WRITE, 1, DATA_MAX + 1, b""),
        request(READ, 1, DATA_MAX + 1, b""), // the engine would hang up on everybody
        request(DISCONNECT, 1, 0, b""),
    ] {
        let mut client = bench.client(false);
        client.write_all(&said).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "{said:?}");
        bench.wait_until_open(1);
    }
    let one = request(WRITE, 9, 2, b"hi");
    bench.client.write_all(&one).unwrap();
    let number = engine.hear(&one);
    engine.say(&reply(number, 0, b""));
    assert_eq!(hear(&mut bench.client, 16), reply(9, 0, b""));
}

#[test]
fn without_the_kernels_device_there_is_no_use_in_going_on() {
    let bench = bench();
    let other = bench.client(false);
    drop(other);
    bench.wait_until_open(1);
    assert!(!bench.ended.is_finished());
    drop(bench.client);
    bench.ended.join().unwrap().unwrap();
}

#[test]
fn an_engine_that_speaks_no_nbd_is_the_end() {
    let bench = bench();
    bench.engine().say(&[7; ANSWER]);
    assert_eq!(bench.ended.join().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
}
