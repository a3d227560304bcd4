//! Exit codes and messages are an API.

use assert_cmd::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hotspare-gate"))
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn help_explains_and_a_wrong_argument_exits_with_64() {
    let help = program().arg("--help").assert().success();
    assert!(said(&help.get_output().stdout).contains("Usage: hotspare-gate"));
    let wrong = program().arg("--no-such-thing").assert().code(64);
    assert!(said(&wrong.get_output().stderr).contains("--no-such-thing"));
}

#[test]
fn a_malformed_address_is_shown_how_to_write() {
    let wrong = program().args(["default", "--address", "192.0.2.10"]).assert().code(64);
    assert!(said(&wrong.get_output().stderr).contains("192.0.2.10/24@eth0"));
}
