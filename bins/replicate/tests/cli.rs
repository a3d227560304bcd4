//! What `hotspare-replicate` says to a person who has something wrong, and that a copy is made once.

use assert_cmd::Command;
use std::fs::File;
use std::path::Path;

fn program(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotspare-replicate"));
    command.arg("--config").arg(config).args(["--node", "alpha"]).args(arguments);
    command
}

/// A configuration whose volume is on `backing`.
fn config(folder: &Path, backing: &Path) -> std::path::PathBuf {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/05-volume/cluster.kdl"));
    let path = folder.join("cluster.kdl");
    std::fs::write(&path, text.unwrap().replace("/dev/vg0/data", &backing.display().to_string())).unwrap();
    path
}

fn said(command: &mut Command, code: i32) -> String {
    let done = command.assert().code(code);
    let output = done.get_output();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_copy_is_made_once_and_only_over_another_if_somebody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let backing = folder.path().join("disk");
    let config = config(folder.path(), &backing);
    let text = said(&mut program(&config, &["create", "data", "--first"]), 74);
    assert!(text.contains("cannot open it"), "{text}");
    File::create(&backing).unwrap().set_len(1 << 20).unwrap();
    let text = said(&mut program(&config, &["create", "data", "--first"]), 0);
    assert!(text.contains("the data is here"), "{text}");
    let text = said(&mut program(&config, &["create", "data"]), 73);
    assert!(text.contains("--again"), "{text}");
    let text = said(&mut program(&config, &["create", "data", "--again"]), 0);
    assert!(text.contains("empty, until"), "{text}");
}

#[test]
fn the_data_of_the_first_copy_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let backing = folder.path().join("disk");
    let config = config(folder.path(), &backing);
    std::fs::write(&backing, vec![0x5a; 1 << 20]).unwrap();
    program(&config, &["create", "data", "--first"]).assert().success();
    let bytes = std::fs::read(&backing).unwrap();
    let size = bytes.iter().position(|byte| *byte != 0x5a).unwrap();
    assert!(size > 900_000 && bytes[size..].starts_with(b"hotspvol"), "metadata begins at {size}");
}

#[test]
fn a_file_system_that_leaves_no_room_is_refused_and_one_that_is_made_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let backing = folder.path().join("disk");
    let config = config(folder.path(), &backing);
    File::create(&backing).unwrap().set_len(16 << 20).unwrap();
    assert!(std::process::Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&backing).status().unwrap().success());
    let text = said(&mut program(&config, &["create", "data", "--first"]), 65);
    assert!(text.contains("resize2fs"), "{text}");
    said(&mut program(&config, &["create", "data", "--first", "--format", "ext4"]), 0);
    let checked = std::process::Command::new("fsck.ext4").args(["-f", "-n"]).arg(&backing).status().unwrap();
    assert!(checked.success(), "the metadata is behind it");
}

#[test]
fn whoever_has_something_wrong_is_told_what() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &folder.path().join("disk"));
    let text = said(&mut program(&config, &["status", "date"]), 78);
    assert!(text.contains("no volume \"date\" (it has: data)"), "{text}");
    let text = said(&mut program(&config, &["status", "data"]), 69);
    assert!(text.contains("systemctl start hotspare-replicate@data.service"), "{text}");
    let text = said(&mut program(&config, &["serve", "data"]), 75);
    assert!(text.contains("cannot open the lease page"), "{text}");
    let text = said(&mut program(&config, &["create", "data", "--format", "ext4"]), 64);
    assert!(text.contains("--first"), "{text}");
    let mut witness = Command::new(env!("CARGO_BIN_EXE_hotspare-replicate"));
    witness.arg("--config").arg(&config).args(["--node", "witness", "create", "data"]);
    assert!(said(&mut witness, 78).contains("is no candidate of default"));
    said(&mut program(&config, &[]), 64);
}
