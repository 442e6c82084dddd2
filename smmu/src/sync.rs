//! Atomics and locks, exchanged for loom's under `cfg(loom)`.

#[cfg(not(loom))]
#[cfg_attr(target_os = "none", allow(unused_imports))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// A spin lock; see docs/locking.md for who may hold which.
pub(crate) struct Lock<T> {
    #[cfg(not(loom))]
    inner: spin::mutex::SpinMutex<T>,
    #[cfg(loom)]
    inner: loom::sync::Mutex<T>,
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        #[cfg(not(loom))]
        let inner = spin::mutex::SpinMutex::new(value);
        #[cfg(loom)]
        let inner = loom::sync::Mutex::new(value);
        Self { inner }
    }

    #[cfg(not(loom))]
    pub(crate) fn lock(&self) -> impl core::ops::DerefMut<Target = T> + '_ {
        self.inner.lock()
    }

    #[cfg(loom)]
    pub(crate) fn lock(&self) -> impl core::ops::DerefMut<Target = T> + '_ {
        match self.inner.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

/// Everything before, in program order, is seen by every observer of memory
/// before anything after. On the target that includes the SMMU.
#[inline]
pub(crate) fn full_barrier() {
    #[cfg(any(loom, not(target_os = "none")))]
    fence(Ordering::SeqCst);
    #[cfg(not(any(loom, not(target_os = "none"))))]
    crate::mmio::barrier();
}
