//! The virtual GIC against a model of the hardware below it ([`machine`]) and
//! a model of the GIC it is to be ([`reference`]).

mod life;
mod machine;
mod reference;
mod registers;

use machine::Machine;
