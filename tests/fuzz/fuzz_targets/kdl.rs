//! Any text as a configuration: a configuration, or at least one mistake that points into the text.
#![no_main]
use hotspare_config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse("fuzz.kdl", text) {
        Ok(config) => assert!(!config.nodes.is_empty() && !config.voters.is_empty()),
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            for problem in &problems.problems {
                assert!(problem.span.offset() + problem.span.len() <= text.len() + 1, "{problem:?}");
            }
            let _ = problems.render(false);
        }
    }
});
