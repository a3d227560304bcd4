//! `org.hotspare.Replicate1`: one object per volume, read-only. Each volume has a program of its own, and so a name of its own on the bus.

use zbus::interface;
use zbus::object_server::SignalEmitter;

pub const NAME: &str = "org.hotspare.Replicate1";

/// The name on the bus of the program that has `volume`.
#[must_use]
pub fn name(volume: &str) -> String {
    format!("{NAME}.{volume}")
}

/// The object path of `volume`.
#[must_use]
pub fn path(volume: &str) -> String {
    format!("/org/hotspare/Replicate1/volume/{volume}")
}

/// Another copy: node, whether there is a way to it, whether it is equal, bytes of it that may differ, bytes that it gets a second.
pub type Copy = (String, bool, bool, u64, u64);

/// What is published of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicate1 {
    pub role: String,
    pub state: String,
    pub epoch: u64,
    pub whole: bool,
    pub copies: Vec<Copy>,
}

#[interface(name = "org.hotspare.Replicate1")]
impl Replicate1 {
    /// "primary" (written to by its user) or "replica".
    #[zbus(property)]
    fn role(&self) -> &str {
        &self.role
    }

    /// One sentence: what it did last, or what blocks it.
    #[zbus(property)]
    fn state(&self) -> &str {
        &self.state
    }

    /// The tenure in which it was written to last.
    #[zbus(property)]
    fn epoch(&self) -> u64 {
        self.epoch
    }

    /// False while the copy here is a mixture of old and new.
    #[zbus(property)]
    fn whole(&self) -> bool {
        self.whole
    }

    /// Each other copy: node, whether there is a way to it, whether it is equal, bytes of it that may differ, bytes that it gets a second.
    #[zbus(property)]
    fn copies(&self) -> Vec<Copy> {
        self.copies.clone()
    }
}

impl Replicate1 {
    /// Takes over `new` and tells what changed.
    ///
    /// # Errors
    /// If the bus is gone.
    pub async fn update(&mut self, new: Replicate1, emitter: &SignalEmitter<'_>) -> zbus::Result<()> {
        let old = std::mem::replace(self, new);
        if old.role != self.role {
            self.role_changed(emitter).await?;
        }
        if old.state != self.state {
            self.state_changed(emitter).await?;
        }
        if old.epoch != self.epoch {
            self.epoch_changed(emitter).await?;
        }
        if old.whole != self.whole {
            self.whole_changed(emitter).await?;
        }
        if old.copies != self.copies {
            self.copies_changed(emitter).await?;
        }
        Ok(())
    }
}
