//! What a voter owes, kept in /run: survives a restart of the daemon, not a reboot. Never synced.

use hotspare_core::voter::{Grant, Memory};
use hotspare_core::{Epoch, Incarnation, NodeId, Stamp, Value};
use serde_json::{Value as Json, json};
use std::path::Path;

/// A boot, and the voters (their digest): what was owed to a majority of others is not known exactly any more.
pub type Life = (u64, u64);

/// Puts the volatile part into /run: an atomic rename, no sync.
pub fn remember(path: &Path, (boot, voters): Life, memory: &Memory) {
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
    let text = json!({"boot": boot.to_string(), "voters": voters.to_string(), "grant": grant, "released": released, "quarantine": quarantine, "forced": forced, "credit": memory.credit, "fellow_boot": memory.fellow_boot.to_string()});
    let text = text.to_string();
    let fresh = path.with_extension("new");
    if std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path)).is_err() {
        // Without memory the next start of this daemon waits out a whole lease, which is safe.
        let _ = std::fs::remove_file(path);
        tracing::warn!("cannot write {}; a restart of the arbiter will wait for a whole lease", path.display());
    }
}

/// What [`remember`] wrote in this boot; `None` if it is not there or not whole.
pub fn recall(path: &Path, (boot, voters): Life) -> Option<Memory> {
    let json: Json = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
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
        remember(&path, (9, 1), &memory);
        assert_eq!(recall(&path, (9, 1)), Some(memory));
        assert_eq!(recall(&path, (10, 1)), None);
        assert_eq!(recall(&path, (9, 2)), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(recall(&path, (9, 1)), None);
    }
}
