//! Any line on a control socket, any argument that names an address, any span of time.
#![no_main]
use hotspare_address::Placed;
use hotspare_control::{Ask, Proof, Tell};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(ask) = serde_json::from_str::<Ask>(text) {
        let again = serde_json::to_string(&ask).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<Ask>(&again).ok(), Some(ask));
    }
    let _ = serde_json::from_str::<Tell>(text);
    let _ = serde_json::from_str::<Proof>(text);
    let _ = hotspare_config::parse_span(text);
    if let Ok(placed) = text.parse::<Placed>() {
        assert_eq!(placed.to_string().parse::<Placed>(), Ok(placed));
    }
});
