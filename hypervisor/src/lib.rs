//! Stagegate: all of the hypervisor that is not the CPU itself.
#![cfg_attr(not(test), no_std)]
