//! Hypercall numbers, layouts and error codes shared by hypervisor, guests and tools.
#![cfg_attr(not(test), no_std)]
