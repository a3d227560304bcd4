//! Exit codes and messages are an API.

use assert_cmd::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hotspare"))
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn help_explains_and_a_wrong_argument_exits_with_64() {
    let help = program().arg("--help").assert().success();
    assert!(said(&help.get_output().stdout).contains("Usage: hotspare"));
    let wrong = program().arg("--no-such-thing").assert().code(64);
    assert!(said(&wrong.get_output().stderr).contains("--no-such-thing"));
}

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kdl-examples/vip-only.kdl");

#[test]
fn check_says_yes_in_one_line_and_no_with_every_mistake() {
    let right = program().args(["check", EXAMPLE]).assert().success();
    assert!(said(&right.get_output().stdout).contains("no mistakes; cluster demo, 3 nodes, 3 of them vote"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.kdl");
    let text = std::fs::read_to_string(EXAMPLE).unwrap().replace("192.0.2.2", "x").replace("candidates", "candidats");
    std::fs::write(&file, text).unwrap();
    let wrong = program().arg("check").arg(&file).assert().code(78);
    let said = said(&wrong.get_output().stderr);
    assert!(said.contains("\"x\" is not an IP address") && said.contains("did you mean `candidates`?"), "{said}");
}

#[test]
fn keygen_writes_a_secret_and_prints_what_is_public() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("etc/node.key");
    let made = program().args(["keygen", "--out"]).arg(&file).assert().success();
    let public = said(&made.get_output().stdout).trim().to_owned();
    assert_eq!(public.len(), 44);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let private = std::fs::read_to_string(&file).unwrap();
    let again = program().args(["keygen", "--out"]).arg(&file).assert().code(73);
    assert!(said(&again.get_output().stderr).contains(&public), "it says which key is there");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), private, "and leaves it alone");
    program().args(["keygen", "--force", "--out"]).arg(&file).assert().success();
    assert_ne!(std::fs::read_to_string(&file).unwrap(), private);
}

#[test]
fn explain_timing_needs_no_cluster() {
    let told = program().args(["explain", "timing", "--config", EXAMPLE]).assert().success();
    assert!(said(&told.get_output().stdout).contains("1363 ms  everything of the role is killed"));
}

#[test]
fn without_the_daemon_it_says_what_to_start() {
    for command in [vec!["status"], vec!["switchover"], vec!["pause"]] {
        let absent = program().args(command).assert().code(69);
        assert!(said(&absent.get_output().stderr).contains("systemctl start hotspare-leased.service"));
    }
}
