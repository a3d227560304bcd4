//! An order to this node, on the disk, to reset itself (`fence "pill"`). This daemon has no right to; it raises a file, and process 1 does it
//! (hotspare-pill.path, hotspare-pill.service), as with roles (decision 0004).

use hotspare_config::Config;
use hotspare_daemon::journal::record_now;
use hotspare_daemon::{Priority, message_id};
use hotspare_wire::disk::Pill;
use std::path::Path;
use std::sync::Once;

/// What hotspare-pill.path waits for.
pub const RAISED: &str = "/run/hotspare-heartbeat/pill";

/// Says so, and does it.
pub fn swallow(config: &Config, pill: Pill) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let by = config.node_name(pill.by).to_owned();
        let message = format!("{by} has told this node to reset itself, over the disk");
        record_now(message_id::PILL, Priority::Critical, message, &[("PEER", by)]);
    });
    if let Err(error) = std::fs::write(Path::new(RAISED), "") {
        tracing::error!("cannot write {RAISED}: {error}; this node goes on");
    }
}
