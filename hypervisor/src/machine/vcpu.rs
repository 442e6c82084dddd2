//! One vCPU, which owns one physical CPU.
/// x
pub struct Vcpu {}
