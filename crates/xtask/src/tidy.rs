//! The rules of the house, as far as a program can check them. Reads only.

use crate::{docs, files};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;

/// A file longer than this has more than one idea in it.
const LINES_MAX: usize = 600;
/// Where `unsafe` may be: each has a `SAFETY:` line (clippy checks that) and a reason here.
const UNSAFE: [&str; 10] = [
    "crates/page/src/lib.rs",             // a shared mapping
    "crates/address/src/netlink.rs",      // a borrowed descriptor
    "crates/address/src/announce.rs",     // a socket address that the library can only read
    "bins/lease/src/hold.rs",             // between fork and exec
    "crates/daemon/src/alarm.rs",         // a descriptor and its owner
    "crates/daemon/src/disk.rs",          // a descriptor that process 1 has left
    "bins/fence/src/reservation.rs",      // orders to the kernel that no library has
    "bins/replicate/src/ring.rs",         // memory that the kernel reads and writes meanwhile
    "bins/replicate/src/holder/queue.rs", // the same, and a shared mapping
    "bins/replicate/src/holder/ublk.rs",  // the same
];
/// What the pure core must not touch.
const CORE_WITHOUT: [&str; 7] =
    ["Instant::now", "SystemTime", "std::fs", "std::net", "std::thread", "tokio", "std::env"];
/// Which of our crates a crate may use: arrows point down.
const ARROWS: [(&str, &[&str]); 9] = [
    ("core", &[]),
    ("volume", &["core"]),
    ("wire", &["core", "volume"]),
    ("config", &["core"]),
    ("page", &["core"]),
    ("control", &[]),
    ("address", &[]),
    ("bus", &[]),
    ("daemon", &["config", "core", "wire"]),
];

type Check = fn(&Path, &mut Vec<String>) -> Result<()>;

pub fn run(root: &Path) -> Result<()> {
    let checks: [(&str, Check); 8] = [
        ("sizes", sizes),
        ("core", core_is_pure),
        ("unsafe", unsafe_places),
        ("arrows", arrows),
        ("catalog", catalog),
        ("generated", generated),
        ("words", words),
        ("scenarios", scenarios),
    ];
    let mut wrong = Vec::new();
    for (name, check) in checks {
        let before = wrong.len();
        check(root, &mut wrong).with_context(|| format!("tidy {name}"))?;
        println!("tidy {name}: {}", if wrong.len() == before { "ok" } else { "not ok" });
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn sizes(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for path in files(root, "rs").into_iter().chain(files(root, "py")) {
        let lines = std::fs::read_to_string(&path)?.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {LINES_MAX}", shown(root, &path)));
        }
    }
    Ok(())
}

fn core_is_pure(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let pure = ["crates/core/src", "crates/volume/src"].map(|folder| files(&root.join(folder), "rs"));
    for path in pure.into_iter().flatten() {
        let text = std::fs::read_to_string(&path)?;
        for word in CORE_WITHOUT.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{}: the core must not touch {word}", shown(root, &path)));
        }
    }
    Ok(())
}

fn unsafe_places(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for path in files(root, "rs") {
        let name = shown(root, &path);
        let code = std::fs::read_to_string(&path)?;
        let used = code.lines().any(|line| line.trim_start().starts_with("unsafe ") || line.contains("= unsafe {"));
        if used && !name.ends_with("tidy.rs") && !UNSAFE.contains(&name.as_str()) {
            wrong.push(format!("{name}: unsafe code, and not on the list in tidy.rs"));
        }
    }
    Ok(())
}

fn arrows(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for (name, allowed) in ARROWS {
        let text = std::fs::read_to_string(root.join("crates").join(name).join("Cargo.toml"))?;
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines() {
            let Some(used) = line.strip_prefix("hotspare-").and_then(|rest| rest.split('.').next()) else { continue };
            if !allowed.contains(&used) {
                wrong.push(format!("crates/{name} must not use hotspare-{used}"));
            }
        }
    }
    Ok(())
}

/// Every message id has an entry in the catalog, and the other way round.
fn catalog(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let source = std::fs::read_to_string(root.join("crates/daemon/src/message_id.rs"))?;
    let ids: BTreeSet<&str> =
        source.split('"').filter(|part| part.len() == 32 && part.chars().all(|c| c.is_ascii_hexdigit())).collect();
    let text = std::fs::read_to_string(root.join("units/catalog/hotspare.catalog"))?;
    let entries: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
    wrong.extend(ids.difference(&entries).map(|id| format!("message id {id} has no entry in the catalog")));
    wrong.extend(entries.difference(&ids).map(|id| format!("catalog entry {id} has no message id")));
    let used = files(&root.join("bins"), "rs").iter().map(std::fs::read_to_string).collect::<Result<String, _>>()?;
    for name in source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next()) {
        if name != "ALL" && !used.contains(&format!("message_id::{name}")) {
            wrong.push(format!("message id {name} is never written"));
        }
    }
    Ok(())
}

fn generated(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for (path, content) in docs::render()? {
        if std::fs::read(root.join(&path)).ok().as_ref() != Some(&content) {
            wrong.push(format!("{} is not what the program says of itself: run `make fix`", path.display()));
        }
    }
    Ok(())
}

fn words(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let banned = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    for path in files(root, "rs").into_iter().chain(files(root, "py")).chain(files(root, "md")) {
        let text = std::fs::read_to_string(&path)?;
        for word in
            banned.iter().filter(|word| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == **word))
        {
            wrong.push(format!("{}: {word}: do it, or write it into an issue", shown(root, &path)));
        }
    }
    Ok(())
}

/// A scenario says in its first line what must be true.
fn scenarios(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for path in files(&root.join("vm-tests"), "py") {
        let text = std::fs::read_to_string(&path)?;
        if !text.starts_with("# ") && !text.starts_with("\"\"\"") {
            wrong.push(format!("{}: begins without a word on what must be true", shown(root, &path)));
        }
    }
    Ok(())
}
