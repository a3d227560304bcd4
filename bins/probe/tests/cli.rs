//! The program from outside: what it asks, how it ends.

use assert_cmd::Command;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn probe(arguments: &[&str]) -> (i32, String) {
    let output =
        Command::cargo_bin("hotspare-probe").unwrap().args(arguments).timeout(Duration::from_secs(20)).output();
    let output = output.unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A server that answers each connection with the next of `answers`, then goes away.
fn server(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let text = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\nLocation: /x\r\n\r\n");
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn http_is_good_from_200_to_399() {
    for (answer, code) in [("200 OK", 0), ("302 Found", 0), ("404 Not Found", 1), ("503 Busy", 1)] {
        let url = format!("http://{}/health", server(Box::leak(Box::new([answer]))));
        let (status, text) = probe(&["--once", "http", &url]);
        assert_eq!(status, code, "{answer}: {text}");
    }
    let (status, text) = probe(&["--once", "http", "https://127.0.0.1/"]);
    assert_eq!(status, 64);
    assert!(text.contains("exec /usr/bin/curl"), "{text}");
}

#[test]
fn tcp_is_good_if_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(probe(&["--once", "tcp", &address]).0, 0);
    drop(listener);
    let (status, text) = probe(&["--once", "tcp", &address]);
    assert_eq!(status, 1);
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn exec_is_good_if_it_exits_with_0_in_time() {
    assert_eq!(probe(&["--once", "exec", "/bin/sh", "-c", "exit 0"]).0, 0);
    let (status, text) = probe(&["--once", "exec", "/bin/sh", "-c", "exit 3"]);
    assert!(status == 1 && text.contains("exit status: 3"), "{text}");
    let began = Instant::now();
    let (status, text) = probe(&["--once", "--timeout", "200ms", "exec", "/bin/sh", "-c", "sleep 60 & sleep 60"]);
    assert!(status == 1 && text.contains("no end after 200 ms"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let (status, text) = probe(&["--once", "exec", "/no/such/program"]);
    assert!(status == 1 && text.contains("cannot run it"), "{text}");
}

#[test]
fn it_ends_when_so_many_in_a_row_are_bad_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    // Good twice, bad once, good once, then bad for ever.
    let script = format!("echo >> {0}; n=$(wc -l < {0}); test $n -le 2 -o $n -eq 4", count.display());
    let (status, text) = probe(&["--interval", "10ms", "--rise", "2", "--fall", "3", "exec", "/bin/sh", "-c", &script]);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("failed 3 times in a row"), "{text}");
    assert_eq!(std::fs::read_to_string(&count).unwrap().lines().count(), 7, "{text}");
}

#[test]
fn wrong_arguments_are_named() {
    for arguments in [
        &["tcp", "localhost"][..],
        &["--rise", "0", "tcp", "127.0.0.1:1"],
        &["--interval", "5", "tcp", "127.0.0.1:1"],
        &[],
    ] {
        assert_eq!(probe(arguments).0, 64, "{arguments:?}");
    }
}
