//! Exit codes and messages are an API.

use assert_cmd::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hotspare-heartbeat"))
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn help_explains_and_a_wrong_argument_exits_with_64() {
    let help = program().arg("--help").assert().success();
    assert!(said(&help.get_output().stdout).contains("Usage: hotspare-heartbeat"));
    let wrong = program().arg("--no-such-thing").assert().code(64);
    assert!(said(&wrong.get_output().stderr).contains("--no-such-thing"));
}

#[test]
fn a_missing_or_wrong_configuration_exits_with_78() {
    let missing = program().args(["--check", "--config", "/nonexistent.kdl"]).assert().code(78);
    assert!(said(&missing.get_output().stderr).contains("cannot read the configuration /nonexistent.kdl"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.kdl");
    std::fs::write(&file, "cluster 7\n").unwrap();
    let wrong = program().arg("--check").arg("--config").arg(&file).assert().code(78);
    assert!(said(&wrong.get_output().stderr).contains("write it in quotes"));
}

#[test]
fn a_machine_that_is_no_node_is_told_which_there_are() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kdl-examples/vip-only.kdl");
    let other = program().args(["--check", "--config", file, "--node", "gamma"]).assert().code(78);
    assert!(said(&other.get_output().stderr).contains("no node \"gamma\" (it has alpha, beta, witness)"));
}
