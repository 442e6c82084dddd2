//! VMSAv8-64 stage-2 translation tables for CPUs and SMMUs.
#![cfg_attr(not(test), no_std)]
