//! `org.hotspare.Heartbeat1`: one object per peer, read-only.

use zbus::interface;
use zbus::object_server::SignalEmitter;

pub const NAME: &str = "org.hotspare.Heartbeat1";

/// The object path of `peer`; what D-Bus does not allow in a path is written as in systemd's (`_2d` for a dash).
#[must_use]
pub fn path(peer: &str) -> String {
    let escape = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("_{:02x}", u32::from(c)) };
    format!("/org/hotspare/Heartbeat1/peer/{}", peer.chars().map(escape).collect::<String>())
}

/// A link: address, state, round trip in microseconds, loss in percent, whether the peer hears us on it.
pub type Link = (String, String, u64, u32, bool);

/// What is published of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat1 {
    pub state: String,
    pub links: Vec<Link>,
}

#[interface(name = "org.hotspare.Heartbeat1")]
impl Heartbeat1 {
    /// "alive", "late", "suspect", "dead" or "unknown": the best of its links.
    #[zbus(property)]
    fn state(&self) -> &str {
        &self.state
    }

    /// Each link: address, state, round trip in microseconds, loss in percent, whether the peer hears us on it.
    #[zbus(property)]
    fn links(&self) -> Vec<Link> {
        self.links.clone()
    }
}

impl Heartbeat1 {
    /// Takes over `new` and tells what changed. Figures that move with every beat are told with a change of state only.
    ///
    /// # Errors
    /// If the bus is gone.
    pub async fn update(&mut self, new: Heartbeat1, emitter: &SignalEmitter<'_>) -> zbus::Result<()> {
        let states = |links: &[Link]| links.iter().map(|link| (link.1.clone(), link.4)).collect::<Vec<_>>();
        let old = std::mem::replace(self, new);
        if states(&old.links) != states(&self.links) {
            self.links_changed(emitter).await?;
        }
        if old.state != self.state {
            self.state_changed(emitter).await?;
        }
        Ok(())
    }
}
