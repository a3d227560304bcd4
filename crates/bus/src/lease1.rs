//! `org.hotspare.Lease1`: one object per group, read-only.

use zbus::interface;
use zbus::object_server::SignalEmitter;

pub const NAME: &str = "org.hotspare.Lease1";

/// The object path of `group`.
#[must_use]
pub fn path(group: &str) -> String {
    format!("/org/hotspare/Lease1/group/{group}")
}

/// What is published of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease1 {
    pub role: String,
    pub holder: String,
    pub epoch: u64,
    pub quorum: bool,
    pub state: String,
}

#[interface(name = "org.hotspare.Lease1")]
impl Lease1 {
    /// "primary", "standby", "off", "lock", or a step between two of them.
    #[zbus(property)]
    fn role(&self) -> &str {
        &self.role
    }

    /// The node that holds the lease, or nothing.
    #[zbus(property)]
    fn holder(&self) -> &str {
        &self.holder
    }

    /// The fencing token of the current tenure.
    #[zbus(property)]
    fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether a majority of the voters answers this node.
    #[zbus(property)]
    fn quorum(&self) -> bool {
        self.quorum
    }

    /// One sentence: what the node is doing, or what blocks it.
    #[zbus(property)]
    fn state(&self) -> &str {
        &self.state
    }
}

impl Lease1 {
    /// Takes over `new` and tells what changed.
    ///
    /// # Errors
    /// If the bus is gone.
    pub async fn update(&mut self, new: Lease1, emitter: &SignalEmitter<'_>) -> zbus::Result<()> {
        let old = std::mem::replace(self, new);
        if old.role != self.role {
            self.role_changed(emitter).await?;
        }
        if old.holder != self.holder {
            self.holder_changed(emitter).await?;
        }
        if old.epoch != self.epoch {
            self.epoch_changed(emitter).await?;
        }
        if old.quorum != self.quorum {
            self.quorum_changed(emitter).await?;
        }
        if old.state != self.state {
            self.state_changed(emitter).await?;
        }
        Ok(())
    }
}
