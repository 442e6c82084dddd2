//! Bounded waiting.

use crate::error::{Error, Wait};
use crate::outside::Time;

/// Polls until `done` says so, at most about `bound_ns`. The condition is
/// looked at once more after the bound has passed, so that a CPU which was
/// away for long does not report a timeout for something long done.
pub(crate) fn until(
    time: &dyn Time,
    bound_ns: u64,
    what: Wait,
    mut done: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    if done()? {
        return Ok(());
    }
    let end = time.now_ns().saturating_add(bound_ns);
    loop {
        let late = time.now_ns() >= end;
        if done()? {
            return Ok(());
        }
        if late {
            return Err(Error::Timeout(what));
        }
        time.relax();
    }
}
