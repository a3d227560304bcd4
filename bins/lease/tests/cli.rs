//! Exit codes and messages are an API.

use assert_cmd::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hotspare-lease"))
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn help_explains_and_a_wrong_argument_exits_with_64() {
    let help = program().arg("--help").assert().success();
    assert!(said(&help.get_output().stdout).contains("Usage: hotspare-lease"));
    let wrong = program().arg("--no-such-thing").assert().code(64);
    assert!(said(&wrong.get_output().stderr).contains("--no-such-thing"));
}

#[test]
fn without_the_daemon_it_says_what_to_start() {
    for command in [vec!["show", "default"], vec!["hold", "jobs", "--", "true"], vec!["watch", "default"]] {
        let absent = program().args(command).assert().code(69);
        assert!(said(&absent.get_output().stderr).contains("systemctl start hotspare-leased.service"));
    }
}
