//! A folder with a configuration in, a folder with units out: `tests/golden/NAME/{cluster.kdl,expected/}`.
//!
//! `UPDATE=1 cargo test -p hotspare-generator` writes the expectations anew; review the difference.

use assert_cmd::Command;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

fn generate(case: &Path, out: &Path, active: &Path) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotspare-generator"));
    command.arg(out).arg(out).arg(out).args(["--node", "alpha", "--config"]).arg(case.join("cluster.kdl"));
    command.arg("--active").arg(active).assert()
}

/// Every file below `folder`: its name, and its content or where it points to.
fn read(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if let Ok(target) = std::fs::read_link(&path) {
            found.insert(name, format!("link to {}\n", target.display()));
        } else if path.is_dir() {
            read(&path, &format!("{name}/"), found);
        } else {
            found.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn units(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    read(folder, "", &mut found);
    found
}

#[test]
fn each_case_makes_the_units_it_should() {
    let mut cases = 0;
    for entry in std::fs::read_dir(golden()).unwrap() {
        let case = entry.unwrap().path();
        let (out, none) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        generate(&case, out.path(), none.path()).success();
        let expected = case.join("expected");
        if std::env::var_os("UPDATE").is_some() {
            let _ = std::fs::remove_dir_all(&expected);
            for (name, content) in units(out.path()) {
                let path = expected.join(&name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
        }
        assert_eq!(units(out.path()), units(&expected), "{}", case.display());
        cases += 1;
    }
    assert!(cases >= 3);
}

/// Each example of the NixOS module says what the KDL example of its name says: the same units follow, and the same of everything else.
#[test]
fn nixos_examples_mean_what_the_kdl_examples_mean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let meaning = |file: &Path| {
        let mut config = hotspare_config::load(file).unwrap_or_else(|error| panic!("{error}"));
        config.digest = 0; // of the text
        config.groups.sort_by(|one, other| one.name.cmp(&other.name));
        config.nodes.sort_by(|one, other| one.name.cmp(&other.name));
        format!("{config:#?}")
    };
    let mut cases = 0;
    for entry in std::fs::read_dir(root.join("kdl-examples")).unwrap() {
        let example = entry.unwrap().path();
        let name = example.file_stem().unwrap();
        let nixos = root.join("tests/nixos/golden").join(name).join("etc/hotspare");
        assert_eq!(meaning(&example), meaning(&nixos.join("cluster.kdl")), "{}", example.display());
        let (here, there, none) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let alone = tempfile::tempdir().unwrap();
        std::fs::copy(&example, alone.path().join("cluster.kdl")).unwrap();
        generate(alone.path(), here.path(), none.path()).success();
        generate(&nixos, there.path(), none.path()).success();
        assert!(!units(here.path()).is_empty());
        assert_eq!(units(here.path()), units(there.path()), "{}", example.display());
        cases += 1;
    }
    assert!(cases >= 5);
}

/// systemd itself has no complaint about what is made.
#[test]
fn systemd_verifies_the_units() {
    let out = tempfile::tempdir().unwrap();
    let none = tempfile::tempdir().unwrap();
    generate(&golden().join("01-nginx"), out.path(), none.path()).success();
    let static_units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../units/system");
    let scratch = out.path();
    for entry in std::fs::read_dir(static_units).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap().replace("@BINDIR@", "/bin");
        std::fs::write(scratch.join(path.file_name().unwrap()), text).unwrap();
    }
    std::fs::write(scratch.join("nginx.service"), "[Service]\nExecStart=/bin/true\n").unwrap();
    let names = ["cluster-primary.target", "cluster-standby.target", "cluster-lease.service", "cluster-take.path"];
    let done = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=yes"])
        .args(names.map(|name| scratch.join(name)))
        .env("SYSTEMD_UNIT_PATH", format!("{}:", scratch.display()))
        .output()
        .expect("systemd-analyze is installed");
    let said = String::from_utf8_lossy(&done.stderr);
    // The programs are not installed where the tests run; older systemd does not know RestartSteps.
    let complaints: Vec<_> = said
        .lines()
        .filter(|line| line.contains(&*scratch.to_string_lossy()) || line.starts_with("cluster-"))
        .filter(|line| {
            !line.contains("is not executable")
                && !line.contains("RestartSteps")
                && !line.contains("RestartMaxDelaySec")
                && !line.contains("RestartMode")
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn a_file_with_mistakes_makes_nothing_and_does_not_fail_the_boot() {
    let case = tempfile::tempdir().unwrap();
    std::fs::write(case.path().join("cluster.kdl"), "group {\n").unwrap();
    let (out, none) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let done = generate(case.path(), out.path(), none.path()).success();
    assert!(String::from_utf8_lossy(&done.get_output().stderr).contains("no units are made"));
    assert!(units(out.path()).is_empty());
}

#[test]
fn no_file_at_all_is_no_mistake() {
    let case = tempfile::tempdir().unwrap();
    let (out, none) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    generate(case.path(), out.path(), none.path()).success().stderr("");
    assert!(units(out.path()).is_empty());
}

#[test]
fn a_held_group_keeps_the_units_it_was_started_with() {
    let active = tempfile::tempdir().unwrap();
    std::fs::copy(golden().join("01-nginx/cluster.kdl"), active.path().join("default.kdl")).unwrap();
    let case = tempfile::tempdir().unwrap();
    std::fs::write(case.path().join("cluster.kdl"), "group {\n").unwrap();
    let out = tempfile::tempdir().unwrap();
    generate(case.path(), out.path(), active.path()).success();
    assert_eq!(units(out.path()), units(&golden().join("01-nginx/expected")));
}

/// Process 1 looks up from whatever it does when a file comes into a folder that a path unit watches, for up to 20 ms (decision 0041).
#[test]
fn every_path_unit_watches_a_folder_of_its_own() {
    let mut cases = 0;
    for entry in std::fs::read_dir(golden()).unwrap() {
        let (out, none) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        generate(&entry.unwrap().path(), out.path(), none.path()).success();
        let mut all = units(out.path());
        all.extend(units(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../units/system")));
        let mut folders: BTreeMap<String, String> = BTreeMap::new();
        for (unit, text) in all.iter().filter(|(unit, _)| unit.ends_with(".path")) {
            let watched = text.lines().find_map(|line| {
                let (key, place) = line.split_once('=')?;
                match key {
                    "PathExists" | "PathChanged" => place.rsplit_once('/').map(|(folder, _)| folder),
                    "DirectoryNotEmpty" => Some(place),
                    _ => None,
                }
            });
            let watched = watched.unwrap_or_else(|| panic!("what does {unit} watch?")).to_owned();
            assert!(!["/run", "/run/hotspare", "/run/hotspare-gate"].contains(&watched.as_str()), "{unit}: {watched}");
            let other = folders.insert(watched.clone(), unit.clone());
            assert_eq!(other, None, "{unit} watches {watched} as well");
        }
        assert!(folders.len() >= 5, "{folders:?}");
        cases += 1;
    }
    assert!(cases >= 3);
}
