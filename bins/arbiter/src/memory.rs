//! What a voter owes, kept in /run: survives a restart of the daemon, not a reboot. Never synced.

use hotspare_core::voter::{Grant, Memory};
use hotspare_core::{Epoch, Incarnation, NodeId, Stamp, Value};
use serde_json::{Value as Json, json};
use std::cell::Cell;
use std::path::PathBuf;

/// A boot, and the voters (their digest): what was owed to a majority of others is not known exactly any more.
pub type Life = (u64, u64);

/// The file of one voter.
pub struct Notes {
    path: PathBuf,
    pub life: Life,
    /// It could not be written last time: said once, not with every renewal.
    lost: Cell<bool>,
}

impl Notes {
    #[must_use]
    pub fn new(path: PathBuf, life: Life) -> Notes {
        Notes { path, life, lost: Cell::new(false) }
    }

    /// Puts the volatile part into /run: an atomic rename, no sync.
    pub fn keep(&self, memory: &Memory) {
        let (fresh, path) = (self.path.with_extension("new"), self.path.display());
        let text = text(self.life, memory);
        let write = || std::fs::write(&fresh, &text).and_then(|()| std::fs::rename(&fresh, &self.path));
        // Where /run is full there is still the room that the former one takes. A life that ends in between has none, and waits.
        let written = write().or_else(|_| std::fs::remove_file(&self.path).and_then(|()| write()));
        match written {
            Ok(()) if self.lost.replace(false) => tracing::info!("{path} is written again"),
            Ok(()) => {}
            Err(error) => {
                // Without memory the next start of this daemon waits out a whole lease, which is safe; with an old one it would not.
                let _ = std::fs::remove_file(&self.path);
                if !self.lost.replace(true) {
                    tracing::warn!(
                        "cannot write {path} ({error}); a restart of the arbiter will wait for a whole lease"
                    );
                }
            }
        }
    }

    /// What [`Notes::keep`] wrote in this boot; `None` if it is not there or not whole.
    #[must_use]
    pub fn recall(&self) -> Option<Memory> {
        let (boot, voters) = self.life;
        let json: Json = serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()?;
        let number = |json: &Json| json.as_str()?.parse::<u64>().ok();
        if number(&json["boot"])? != boot || number(&json["voters"])? != voters {
            return None;
        }
        let value = |json: &Json| {
            let incarnation = Incarnation { boot: number(&json[2])?, nonce: number(&json[3])? };
            Some(Value::tenure(Epoch(number(&json[0])?), NodeId(number(&json[1])?), incarnation))
        };
        let stamp = |json: &Json| Some(Stamp { boot: number(&json[0])?, raw: number(&json[1])? });
        let grant = match &json["grant"] {
            Json::Null => None,
            grant => {
                let Value { epoch, holder, incarnation, .. } = value(&grant["value"])?;
                let until = stamp(&grant["until"])?;
                Some(Grant { holder, incarnation, epoch, until })
            }
        };
        let released = match &json["released"] {
            Json::Null => None,
            released => Some(value(released)?),
        };
        // Outside: not whole. Inside: nothing to wait for.
        let end = |json: &Json| match json {
            Json::Null => Some(None),
            end => stamp(end).map(Some),
        };
        let (quarantine, forced) = (end(&json["quarantine"])?, end(&json["forced"])?);
        // A daemon of before did not write these, and gave no credit.
        let (credit, fellow_boot) =
            (json["credit"].as_bool().unwrap_or_default(), number(&json["fellow_boot"]).unwrap_or_default());
        Some(Memory { grant, released, quarantine, forced, credit, fellow_boot })
    }
}

fn text((boot, voters): Life, memory: &Memory) -> String {
    let value = |value: &Value| {
        json!([
            value.epoch.0.to_string(),
            value.holder.0.to_string(),
            value.incarnation.boot.to_string(),
            value.incarnation.nonce.to_string()
        ])
    };
    let stamp = |stamp: &Stamp| json!([stamp.boot.to_string(), stamp.raw.to_string()]);
    let grant = memory.grant.map(|grant| {
        let Grant { holder, incarnation, epoch, until } = grant;
        json!({"value": value(&Value::tenure(epoch, holder, incarnation)), "until": stamp(&until)})
    });
    let (quarantine, forced) = (memory.quarantine.as_ref().map(stamp), memory.forced.as_ref().map(stamp));
    let released = memory.released.as_ref().map(value);
    json!({"boot": boot.to_string(), "voters": voters.to_string(), "grant": grant, "released": released, "quarantine": quarantine, "forced": forced, "credit": memory.credit, "fellow_boot": memory.fellow_boot.to_string()}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_survives_a_restart_and_not_a_boot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.json");
        let incarnation = Incarnation { boot: u64::MAX, nonce: u64::MAX - 1 };
        let value = Value::tenure(Epoch(3), NodeId(u64::MAX - 2), incarnation);
        let until = Stamp { boot: u64::MAX - 3, raw: 5 };
        let grant = Grant { holder: value.holder, incarnation, epoch: value.epoch, until };
        let memory = Memory {
            grant: Some(grant),
            released: Some(value),
            quarantine: Some(until),
            forced: Some(until),
            credit: true,
            fellow_boot: u64::MAX - 4,
        };
        let notes = |life: Life| Notes::new(path.clone(), life);
        notes((9, 1)).keep(&memory);
        assert_eq!(notes((9, 1)).recall(), Some(memory));
        assert_eq!(notes((10, 1)).recall(), None);
        assert_eq!(notes((9, 2)).recall(), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(notes((9, 1)).recall(), None);
    }

    #[test]
    fn what_could_not_be_written_is_not_taken_for_what_is_owed_and_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.json");
        let notes = Notes::new(path.clone(), (9, 1));
        notes.keep(&Memory::default());
        std::fs::create_dir(folder.path().join("default.new")).unwrap(); // in the way, root or not
        notes.keep(&Memory::default());
        assert!(notes.lost.get() && notes.recall().is_none() && !path.exists());
        std::fs::remove_dir(folder.path().join("default.new")).unwrap();
        notes.keep(&Memory::default());
        assert!(!notes.lost.get() && notes.recall().is_some());
    }
}
