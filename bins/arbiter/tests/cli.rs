//! Exit codes and messages are an API.

use assert_cmd::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hotspare-arbiter"))
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn help_explains_and_a_wrong_argument_exits_with_64() {
    let help = program().arg("--help").assert().success();
    assert!(said(&help.get_output().stdout).contains("Usage: hotspare-arbiter"));
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

/// One process votes in many clusters, with registers apart.
#[test]
fn two_clusters_in_one_process() {
    use std::path::Path;
    let folder = tempfile::tempdir().unwrap();
    let key = hotspare_wire::Key([7; 32]);
    let (private, public) = hotspare_daemon::identity::format_key(&key);
    std::fs::write(folder.path().join("node.key"), private).unwrap();
    let text = include_str!("../../../kdl-examples/vip-only.kdl")
        .replace("8IvsFFjHK1Lwj6NbRq2EvnWHBlkl5zpKFpUWgSgKA1Y=", &public);
    let state = folder.path().join("state");
    let mut command = program();
    for name in ["one", "two"] {
        let file = folder.path().join(format!("{name}.kdl"));
        std::fs::write(&file, text.replace("\"demo\"", &format!("{name:?}"))).unwrap();
        command.arg("--config").arg(file);
    }
    command.args(["--check", "--node", "witness", "--state"]).arg(&state);
    command.env("CREDENTIALS_DIRECTORY", folder.path()).env("RUNTIME_DIRECTORY", folder.path().join("run"));
    let checked = command.assert().success();
    let told = said(&checked.get_output().stdout);
    assert!(told.contains(r#""cluster":"one""#) && told.contains(r#""cluster":"two""#), "{told}");
    for name in ["one", "two"] {
        assert!(Path::new(&state).join(name).join("default.register").exists());
    }
    // A register that was copied from the other cluster is not believed.
    std::fs::copy(state.join("one/default.register"), state.join("two/default.register")).unwrap();
    let refused = command.assert().code(65);
    assert!(said(&refused.get_output().stderr).contains("belongs to another node, cluster or group"));
}
