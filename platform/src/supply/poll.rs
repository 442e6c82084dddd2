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

/// Asks whether it is on until the answer is yes or `limit_us` microseconds
/// have passed, but at least twice: of those who were told to switch, some
/// agree before they have done it. An answer under way at the end is awaited.
///
/// # Errors
/// [`SupplyError::Timeout`], or what asking comes to.
pub fn confirm(
    services: &dyn Services,
    limit_us: u64,
    mut is_on: impl FnMut() -> Result<bool, SupplyError>,
) -> Result<(), SupplyError> {
    let mut failed = None;
    let answered = until(services, limit_us, || match is_on() {
        Ok(on) => on,
        Err(error) => {
            failed = Some(error);
            true
        }
    });
    failed.map_or(answered, Err)
}

/// Lets `us` microseconds pass.
pub fn pause(services: &dyn Services, us: u64) {
    let start = services.now_us();
    // The clock may be about to tick.
    while services.now_us().saturating_sub(start) <= us {
        core::hint::spin_loop();
    }
}

/// How often a register is looked at that follows within some cycles of its
/// bus.
const LOOKS: u32 = 32;

/// Looks until `done` holds, a few times: for what has no clock to wait by, and
/// needs none.
pub fn soon(mut done: impl FnMut() -> bool) -> bool {
    (0..LOOKS).any(|_| done())
}
