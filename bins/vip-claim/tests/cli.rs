//! Exit codes and messages are an API.

use assert_cmd::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vip-claim"))
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn help_explains_and_a_wrong_argument_exits_with_64() {
    let help = program().arg("--help").assert().success();
    assert!(said(&help.get_output().stdout).contains("Usage: vip-claim"));
    let wrong = program().arg("--no-such-thing").assert().code(64);
    assert!(said(&wrong.get_output().stderr).contains("--no-such-thing"));
}

#[test]
fn what_it_cannot_do_is_said_before_anything_is_done() {
    for (args, code, text) in [
        (vec!["192.0.2.10", "--interface", "lo"], 64, "the prefix length is missing"),
        (vec!["192.0.2.10/24", "--interface", "nosuch0"], 69, "there is no interface nosuch0"),
        (vec!["192.0.2.10/24", "--interface", "lo", "--group", "nosuchgroup"], 69, "cannot open the lease page"),
        (vec!["192.0.2.10/24"], 64, "--interface"),
    ] {
        let refused = program().args(&args).assert().code(code);
        let said = said(&refused.get_output().stderr);
        assert!(said.contains(text), "{args:?}: {said}");
    }
}
