//! Clocks that cannot be switched: `fixed-clock`, and `fixed-factor-clock` but
//! for what it derives from.
use super::{SupplyError, Switch};

/// Always on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fixed;

impl Switch for Fixed {
    fn enable(&self) -> Result<(), SupplyError> {
        Ok(())
    }

    fn disable(&self) -> Result<(), SupplyError> {
        Ok(())
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(true)
    }

    fn is_fixed(&self) -> bool {
        true
    }
}
