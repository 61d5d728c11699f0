//! One target, named by `KEELSON_FUZZ_TARGET`, under libFuzzer. Built by `./just fuzz` with coverage instrumentation.

#![no_main]
#![allow(
    unsafe_code,
    reason = "libFuzzer calls an exported C function, which its macro declares"
)]

use std::sync::LazyLock;

use keelson_fuzz::{Target, find};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Option<Target>> =
    LazyLock::new(|| std::env::var("KEELSON_FUZZ_TARGET").ok().and_then(|name| find(&name)));

fuzz_target!(|data: &[u8]| {
    if let Some(target) = *TARGET {
        (target.run)(data);
    }
});
