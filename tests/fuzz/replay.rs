//! The corpora of the fuzz targets, played to what the targets do: nothing panics, and each gets to its end with some input. (One
//! had mended the header of a register of two formats before, and got nowhere for millions of inputs.)

mod bodies;

use std::path::Path;

/// How many inputs of `target` there are, and how many come through to the end.
fn play(target: &str, body: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("readable").path());
    let inputs: Vec<Vec<u8>> = files.map(|file| std::fs::read(file).expect("readable")).collect();
    let through = inputs.iter().filter(|input| body(input)).count();
    (inputs.len(), through)
}

fn text(body: fn(&str) -> bool) -> impl Fn(&[u8]) -> bool {
    move |bytes| std::str::from_utf8(bytes).is_ok_and(body)
}

#[test]
fn every_corpus_is_played_and_every_target_gets_to_its_end() {
    let played = [
        ("wire", play("wire", bodies::wire)),
        ("volume", play("volume", bodies::volume)),
        ("session", play("session", bodies::session)),
        ("register", play("register", bodies::register)),
        ("kdl", play("kdl", text(bodies::kdl))),
        ("control", play("control", text(bodies::control))),
    ];
    for (target, (inputs, through)) in played {
        println!("{target}: {inputs} inputs, {through} to the end");
        assert!(through > 0 && through < inputs, "{target}: {through} of {inputs} inputs come through");
    }
}
