//! Reading systemd: whether a unit is active, and when that changes. Starting units is done without the bus (see
//! `docs/decisions/0004-path-units.md`).

use zbus::OwnedObjectPath;
use zbus::proxy;

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub trait Manager {
    /// Asks for signals; without it systemd sends none.
    fn subscribe(&self) -> zbus::Result<()>;
    /// The object of a unit, loaded if need be.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// systemd has read its configuration anew.
    #[zbus(signal)]
    fn reloading(&self, active: bool) -> zbus::Result<()>;
}

#[proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
pub trait Unit {
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;
}
