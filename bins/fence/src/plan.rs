//! In which order methods are tried, and what is a proof.
//!
//! All methods of a level must succeed (a machine with two power supplies has two plugs); if they do not, the next level is tried. That a
//! device took the command is no proof: a node is off when every device of the level, asked afterwards, says that there is no power (F1,
//! peers.md pain 13).

use crate::device::{Action, Device, Power};
use hotspare_config::Proof;
use std::time::{Duration, Instant};

/// Between two readings: some management controllers say "on" for a second or two after they have switched.
const AGAIN: Duration = Duration::from_millis(500);

/// What can be switched: a device, or a test's idea of one.
pub trait Switch {
    fn level(&self) -> u8;
    fn timeout(&self) -> Duration;
    fn name(&self) -> String;
    /// # Errors
    /// If it does not say that it has.
    fn switch(&self, on: bool) -> Result<(), String>;
    /// # Errors
    /// If it does not say.
    fn power(&self) -> Result<Power, String>;
    /// What its word proves.
    fn proof(&self) -> Proof;
}

impl Switch for Device<'_> {
    fn level(&self) -> u8 {
        self.fence.level
    }

    fn timeout(&self) -> Duration {
        self.fence.timeout
    }

    fn name(&self) -> String {
        Device::name(self)
    }

    fn switch(&self, on: bool) -> Result<(), String> {
        self.act(if on { Action::On } else { Action::Off })
    }

    fn power(&self) -> Result<Power, String> {
        Device::power(self)
    }

    fn proof(&self) -> Proof {
        Device::proof(self)
    }
}

/// The levels there are, in the order in which they are tried.
pub fn levels<S: Switch>(devices: &[S]) -> Vec<u8> {
    let mut levels: Vec<u8> = devices.iter().map(Switch::level).collect();
    levels.sort_unstable();
    levels.dedup();
    levels
}

/// Switches a node off, by the first level that can: which one, and the proof.
///
/// # Errors
/// If none can: what each of them said.
pub fn off<S: Switch>(devices: &[S]) -> Result<(u8, Proof), Vec<String>> {
    let mut said = Vec::new();
    for level in levels(devices) {
        let of_level: Vec<&S> = devices.iter().filter(|device| device.level() == level).collect();
        // First all of them, then all of them again: with two plugs there is a moment in which neither has power.
        let refused: Vec<Option<String>> = of_level.iter().map(|device| device.switch(false).err()).collect();
        let read: Vec<Result<(), String>> = of_level.iter().map(|device| reads(*device, Power::Off)).collect();
        if read.iter().all(Result::is_ok) {
            // Of several the weakest.
            return Ok((level, of_level.iter().map(|device| device.proof()).max().expect("a level has devices")));
        }
        said.extend(
            refused
                .into_iter()
                .flatten()
                .chain(read.into_iter().filter_map(Result::err))
                .map(|why| format!("level {level}: {why}")),
        );
    }
    Err(said)
}

/// Switches a node on, by all of its devices: any of them may have switched it off.
///
/// # Errors
/// What those said that did not.
pub fn on<S: Switch>(devices: &[S]) -> Result<(), Vec<String>> {
    let refused: Vec<Option<String>> = devices.iter().map(|device| device.switch(true).err()).collect();
    let read = devices.iter().map(|device| reads(device, Power::On).err());
    let read: Vec<Option<String>> = read.collect();
    let wrong: Vec<String> =
        refused.into_iter().zip(read).filter_map(|(refused, read)| read.map(|why| refused.unwrap_or(why))).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Asks until it says so, or its time is up.
fn reads<S: Switch>(device: &S, wanted: Power) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let why = match device.power() {
            Ok(power) if power == wanted => return Ok(()),
            Ok(Power::On) => format!("{} says that there is power still", device.name()),
            Ok(Power::Off) => format!("{} says that there is no power yet", device.name()),
            Err(why) => why,
        };
        if began.elapsed() + AGAIN > device.timeout() {
            return Err(why);
        }
        std::thread::sleep(AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A plug that does as it is told, or not.
    struct Plug<'a> {
        name: &'static str,
        level: u8,
        obeys: bool,
        reads: Option<Power>,
        power: Cell<Power>,
        log: &'a RefCell<Vec<String>>,
    }

    impl Switch for Plug<'_> {
        fn level(&self) -> u8 {
            self.level
        }

        fn timeout(&self) -> Duration {
            Duration::ZERO
        }

        fn name(&self) -> String {
            self.name.into()
        }

        fn switch(&self, on: bool) -> Result<(), String> {
            self.log.borrow_mut().push(format!("{} {}", self.name, if on { "on" } else { "off" }));
            if !self.obeys {
                return Err(format!("{} does not answer", self.name));
            }
            self.power.set(if on { Power::On } else { Power::Off });
            Ok(())
        }

        fn power(&self) -> Result<Power, String> {
            self.reads.map_or(Ok(self.power.get()), Ok)
        }

        fn proof(&self) -> Proof {
            if self.name == "pill" { Proof::Reset } else { Proof::PowerOff }
        }
    }

    fn plug<'a>(name: &'static str, level: u8, log: &'a RefCell<Vec<String>>) -> Plug<'a> {
        Plug { name, level, obeys: true, reads: None, power: Cell::new(Power::On), log }
    }

    #[test]
    fn the_first_level_that_can_does_it_and_the_others_are_left_alone() {
        let log = RefCell::default();
        let plugs = [plug("second", 2, &log), plug("first", 1, &log)];
        assert_eq!(off(&plugs), Ok((1, Proof::PowerOff)));
        assert_eq!(*log.borrow(), ["first off"]);
    }

    #[test]
    fn a_level_counts_only_as_a_whole_and_what_each_one_said_is_told() {
        let log = RefCell::default();
        let mut plugs = [plug("left", 1, &log), plug("right", 1, &log), plug("board", 2, &log)];
        plugs[1].obeys = false;
        assert_eq!(off(&plugs), Ok((2, Proof::PowerOff)));
        assert_eq!(*log.borrow(), ["left off", "right off", "board off"]);
        (plugs[2].obeys, plugs[2].power) = (false, Cell::new(Power::On));
        let said = off(&plugs).unwrap_err();
        assert!(said.contains(&"level 1: right does not answer".into()), "{said:?}");
        assert!(said.contains(&"level 2: board says that there is power still".into()), "{said:?}");
    }

    #[test]
    fn of_a_level_the_weakest_proof_counts() {
        let log = RefCell::default();
        assert_eq!(off(&[plug("pill", 1, &log)]), Ok((1, Proof::Reset)));
        assert_eq!(off(&[plug("pill", 1, &log), plug("plug", 1, &log)]), Ok((1, Proof::Reset)));
    }

    #[test]
    fn that_it_was_told_is_no_proof_and_that_it_refused_is_none_to_the_contrary() {
        let log = RefCell::default();
        let mut plugs = [plug("liar", 1, &log)];
        plugs[0].reads = Some(Power::On);
        assert!(off(&plugs).is_err());
        let mut plugs = [plug("off already", 1, &log)];
        (plugs[0].obeys, plugs[0].power) = (false, Cell::new(Power::Off));
        assert_eq!(off(&plugs), Ok((1, Proof::PowerOff)));
        assert!(off::<Plug<'_>>(&[]).is_err(), "nothing is no proof");
    }

    #[test]
    fn all_that_may_have_switched_it_off_switch_it_on() {
        let log = RefCell::default();
        let mut plugs = [plug("plug", 1, &log), plug("board", 2, &log)];
        off(&plugs).unwrap();
        assert_eq!(on(&plugs), Ok(()));
        assert_eq!(*log.borrow(), ["plug off", "plug on", "board on"]);
        (plugs[1].obeys, plugs[1].power) = (false, Cell::new(Power::Off));
        assert_eq!(on(&plugs), Err(vec!["board does not answer".into()]));
    }
}
