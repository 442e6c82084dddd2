//! Waiting with a bound.
use super::{Services, SupplyError};

/// Polls `done` until it holds or `limit_us` microseconds have passed. It is
/// asked once more after the time is up: this CPU may have been away.
///
/// # Errors
/// [`SupplyError::Timeout`].
pub fn until(
    services: &dyn Services,
    limit_us: u64,
    mut done: impl FnMut() -> bool,
) -> Result<(), SupplyError> {
    let start = services.now_us();
    loop {
        if done() {
            return Ok(());
        }
        if services.now_us().saturating_sub(start) >= limit_us {
            return if done() {
                Ok(())
            } else {
                Err(SupplyError::Timeout(limit_us))
            };
        }
        core::hint::spin_loop();
    }
}
