//! The guest's UART and the multiplexer, as drivers and people use them.

mod mux;
mod pl011;
