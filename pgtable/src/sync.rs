//! The atomics: the processor's, or those of the model checker.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU64, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, fence};

pub(crate) use core::sync::atomic::Ordering;

/// Completes a read-modify-write into a full barrier: what follows is not
/// performed before it.
///
/// On x86-64 every locked instruction is one already (SDM 3A, 9.2.3.9), so
/// that only the compiler has to be told; elsewhere it takes a fence.
#[inline(always)]
pub(crate) fn full_after_rmw() {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    fence(Ordering::SeqCst);
}
