//! Reading systemd: whether a unit is active, and when that changes. Starting units is done without the bus (see
//! `docs/decisions/0004-path-units.md`).

use zbus::OwnedObjectPath;
use zbus::proxy;

/// Name, description, load state, active state, sub-state, followed unit, path, job, its type, its path.
type UnitLine = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// The units among `names` that have failed and are left so: no job is under way that would start them again.
///
/// # Errors
/// If systemd cannot be asked.
pub async fn failed(manager: &ManagerProxy<'_>, names: &[String]) -> zbus::Result<Vec<String>> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let units = manager.list_units_by_names(&names).await?;
    let left = units.into_iter().filter(|unit| unit.3 == "failed" && unit.7 == 0);
    Ok(left.map(|unit| unit.0).collect())
}

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
    /// The units of these names that are loaded, with their state.
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<UnitLine>>;
    /// systemd has read its configuration anew.
    #[zbus(signal)]
    fn reloading(&self, active: bool) -> zbus::Result<()>;
}

#[proxy(interface = "org.freedesktop.systemd1.Unit", default_service = "org.freedesktop.systemd1")]
pub trait Unit {
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn sub_state(&self) -> zbus::Result<String>;
}

#[proxy(interface = "org.freedesktop.systemd1.Service", default_service = "org.freedesktop.systemd1")]
pub trait Service {
    /// How long `Restart=` waits before it starts the service again, in microseconds (systemd 254).
    #[zbus(property(emits_changed_signal = "false"), name = "RestartUSecNext")]
    fn restart_usec_next(&self) -> zbus::Result<u64>;
}
