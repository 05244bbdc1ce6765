//! One target under libFuzzer: `HUDHUD_FUZZ_TARGET=frames libfuzzer corpus/frames`. `make fuzz` builds and runs it.
#![no_main]

use hudhud_fuzz::Target;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("HUDHUD_FUZZ_TARGET").unwrap_or_default();
    hudhud_fuzz::find(&name).unwrap_or_else(|| {
        let names: Vec<&str> = hudhud_fuzz::TARGETS.iter().map(|target| target.name).collect();
        panic!("there is no target {name:?}: choose one of {}", names.join(", "))
    })
});

fuzz_target!(|input: &[u8]| (TARGET.run)(input));
