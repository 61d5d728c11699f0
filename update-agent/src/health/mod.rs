//! Whether a release that was booted for the first time is kept: what the boot requires, the system's services, the
//! declared containers and the operator's probes have to be well for a while without a break.

pub mod assessment;
pub mod criteria;
pub mod observe;
mod probe;

use std::time::{Duration, Instant};

pub use assessment::{Policy, Verdict};
pub use observe::Machine;

use assessment::Assessment;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Looks at the machine until the release is to be kept or given up; `Err` is why it is given up.
///
/// # Errors
/// For people: what was not well.
pub fn assess(machine: &Machine, policy: Policy) -> Result<(), String> {
    let begun = Instant::now();
    let mut assessment = Assessment::new(policy, Duration::ZERO);
    let mut before = None;
    loop {
        let looked = Instant::now();
        // The document may change meanwhile, and with it what is asked.
        let now = machine.look(&machine.config());
        let troubles = criteria::troubles(&now, before.as_ref());
        match assessment.judge(begun.elapsed(), &troubles) {
            Verdict::Commit => return Ok(()),
            Verdict::GiveUp { why } => return Err(why),
            Verdict::Wait { status } => {
                log::info!(status = status.as_str(); "the running release has to prove itself");
                keelson_daemon::notify::status(&status);
            }
        }
        before = Some(now);
        std::thread::sleep(EVERY.saturating_sub(looked.elapsed()));
    }
}
