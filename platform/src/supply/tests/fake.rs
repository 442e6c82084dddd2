//! Fakes with a will of their own: registers, time, firmware.
use crate::facts::Conduit;
use crate::mmio::Mmio;
use crate::supply::{Services, SupplyError, Switch};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;

type Hook = fn(&mut BTreeMap<usize, u32>, usize, u32);
type ReadHook = fn(&mut BTreeMap<usize, u32>, usize);

/// A register file. Hooks may do what hardware does on a write, and what has
/// become of that by a read.
#[derive(Clone)]
pub(super) struct Registers {
    pub(super) file: Arc<Mutex<BTreeMap<usize, u32>>>,
    pub(super) writes: Arc<Mutex<Vec<(usize, u32)>>>,
    hook: Hook,
    read: ReadHook,
}

/// A register that just keeps what is written.
pub(super) fn keep(file: &mut BTreeMap<usize, u32>, offset: usize, value: u32) {
    file.insert(offset, value);
}

impl Registers {
    pub(super) fn new(hook: Hook) -> Self {
        Self {
            file: Arc::default(),
            writes: Arc::default(),
            hook,
            read: |_, _| {},
        }
    }

    /// The same with a hook that runs before each read.
    pub(super) fn late(hook: Hook, read: ReadHook) -> Self {
        Self {
            read,
            ..Self::new(hook)
        }
    }

    pub(super) fn set(&self, offset: usize, value: u32) {
        self.file.lock().insert(offset, value);
    }
}

/// Something with registers of 32 bits, or a page of words.
pub(super) trait Words {
    fn read(&self, offset: usize) -> u32;
    fn write(&self, offset: usize, value: u32);
}

/// Accesses of other sizes, as of 32 bits.
macro_rules! words {
    ($type:ty) => {
        impl Mmio for $type {
            fn read8(&self, offset: usize) -> u8 {
                self.read(offset) as u8
            }
            fn read16(&self, offset: usize) -> u16 {
                self.read(offset) as u16
            }
            fn read32(&self, offset: usize) -> u32 {
                self.read(offset)
            }
            fn read64(&self, offset: usize) -> u64 {
                u64::from(self.read(offset))
            }
            fn write8(&self, offset: usize, value: u8) {
                self.write(offset, u32::from(value));
            }
            fn write16(&self, offset: usize, value: u16) {
                self.write(offset, u32::from(value));
            }
            fn write32(&self, offset: usize, value: u32) {
                self.write(offset, value);
            }
            fn write64(&self, offset: usize, value: u64) {
                self.write(offset, value as u32);
            }
        }
    };
}
pub(super) use words;

words!(Registers);

impl Words for Registers {
    fn read(&self, offset: usize) -> u32 {
        let mut file = self.file.lock();
        (self.read)(&mut file, offset);
        file.get(&offset).copied().unwrap_or(0)
    }
    fn write(&self, offset: usize, value: u32) {
        self.writes.lock().push((offset, value));
        (self.hook)(&mut self.file.lock(), offset, value);
    }
}

/// The same registers behind a slow bus: a write arrives after so many reads.
#[derive(Clone)]
pub(super) struct Lagging {
    inner: Registers,
    lag: u32,
    under_way: Arc<Mutex<VecDeque<(u32, usize, u32)>>>,
    pub(super) reads: Arc<Mutex<u32>>,
}

words!(Lagging);

impl Lagging {
    pub(super) fn new(inner: Registers, lag: u32) -> Self {
        Self {
            inner,
            lag,
            under_way: Arc::default(),
            reads: Arc::default(),
        }
    }
}

impl Words for Lagging {
    fn read(&self, offset: usize) -> u32 {
        *self.reads.lock() += 1;
        let mut under_way = self.under_way.lock();
        for (left, ..) in under_way.iter_mut() {
            *left = left.saturating_sub(1);
        }
        while let Some(&(0, at, value)) = under_way.front() {
            self.inner.write(at, value);
            under_way.pop_front();
        }
        self.inner.read(offset)
    }

    fn write(&self, offset: usize, value: u32) {
        self.under_way.lock().push_back((self.lag, offset, value));
    }
}

/// What firmware does on a call.
type Answer = dyn Fn(Conduit, u32, [u64; 6]) -> [u64; 4] + Send + Sync;

/// Time that passes by 10 us a look, and firmware.
pub(super) struct World {
    now: AtomicU64,
    look: u64,
    answer: alloc::boxed::Box<Answer>,
}

impl World {
    pub(super) fn new(
        answer: impl Fn(Conduit, u32, [u64; 6]) -> [u64; 4] + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(0),
            look: 10,
            answer: alloc::boxed::Box::new(answer),
        })
    }

    pub(super) fn silent() -> Arc<Self> {
        Self::new(|_, _, _| [u64::MAX; 4])
    }

    /// Time that passes by 1 us a look; no firmware.
    pub(super) fn fine() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(0),
            look: 1,
            answer: alloc::boxed::Box::new(|_, _, _| [u64::MAX; 4]),
        })
    }

    /// Time that passes while nobody looks.
    pub(super) fn pass(&self, us: u64) {
        self.now.fetch_add(us, Ordering::Relaxed);
    }

    pub(super) fn elapsed(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

impl Services for World {
    fn now_us(&self) -> u64 {
        self.now.fetch_add(self.look, Ordering::Relaxed)
    }

    fn call(&self, conduit: Conduit, function: u32, args: [u64; 6]) -> [u64; 4] {
        (self.answer)(conduit, function, args)
    }
}

/// A switch that writes down what happens, and fails at what it is told.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) log: Arc<Mutex<Vec<&'static str>>>,
    pub(super) names: (&'static str, &'static str),
    pub(super) fails: Mutex<Vec<&'static str>>,
}

impl Recorder {
    fn act(&self, what: &'static str) -> Result<(), SupplyError> {
        self.log.lock().push(what);
        if self.fails.lock().contains(&what) {
            Err(SupplyError::Timeout(1))
        } else {
            Ok(())
        }
    }
}

impl Switch for Recorder {
    fn enable(&self) -> Result<(), SupplyError> {
        self.act(self.names.0)
    }
    fn disable(&self) -> Result<(), SupplyError> {
        self.act(self.names.1)
    }
    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(true)
    }
}
