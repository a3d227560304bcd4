//! Golden diagnostics: each file in `mistakes/` has mistakes, and beside it stands what is said about them.
//!
//! `UPDATE=1 cargo test -p hotspare-config` writes the expectations anew; review the difference.

use hotspare_config::Config;
use std::path::Path;

#[test]
fn every_mistake_is_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "kdl") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let problems = Config::parse(&name, &text).expect_err(&name);
        for problem in &problems.problems {
            assert!(!problem.help.is_empty(), "{name}: `{}` comes without help", problem.message);
            assert!(problem.span.offset() + problem.span.len() <= text.len(), "{name}: span outside the file");
        }
        let said = problems.render(false);
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&golden, &said).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("{name}:\n{said}"));
        }
    }
    assert!(count >= 40, "only {count} kinds of mistakes");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_and_every_block_of_the_docs_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(root.join("kdl-examples")).unwrap() {
        let path = entry.unwrap().path();
        texts.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    }
    for file in ["README.md", "docs/configuration.md"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        for (n, block) in text.split("```kdl\n").skip(1).enumerate() {
            texts.push((format!("{file}, block {}", n + 1), block.split("```").next().unwrap().to_owned()));
        }
    }
    assert!(texts.len() >= 3);
    for (name, text) in texts {
        if let Err(problems) = Config::parse(&name, &text) {
            panic!("{}", problems.render(false));
        }
    }
}

#[test]
fn the_example_with_an_address_only_is_short() {
    let text = include_str!("../../../kdl-examples/vip-only.kdl");
    assert!(text.lines().count() <= 15);
    let config = Config::parse("vip-only.kdl", text).unwrap();
    assert_eq!(config.groups[0].timetable.lease.as_millis(), 1818);
    assert_eq!(config.voters.len(), 3);
}
