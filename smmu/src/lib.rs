//! Arm SMMU drivers with runtime power.
#![cfg_attr(not(test), no_std)]
