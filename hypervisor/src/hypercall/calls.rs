//! One function per call.

use crate::dma::{DomainKind, Error, Freed, GuestMemory, Outside, Progress, VmDma};
use stagegate_abi::{
    AllocFlags, DeviceFlags, Features, Function, PAGE_SIZE, REVISION_MAJOR, REVISION_MINOR, Reply,
    Request, SVE_HINT, StatsPage, Status, UID, UnmapFlags,
};

/// Whether a function id is one of this interface; the SVE hint does not matter.
#[must_use]
#[inline]
pub const fn is_ours(x0: u64) -> bool {
    Function::from_register(x0).is_some()
}

/// The calls that need nothing of the VM: who answers, and in which revision. For the shortest way
/// through the trap handler; `None` for all others.
#[must_use]
#[inline]
pub const fn identity(x0: u64) -> Option<Reply> {
    const CALL_UID: u32 = Function::CallUid.id();
    const REVISION: u32 = Function::Revision.id();
    const WHO: Reply = {
        let [w0, w1, w2, w3] = UID;
        Reply([w0 as u64, w1 as u64, w2 as u64, w3 as u64])
    };
    match x0 as u32 & !SVE_HINT {
        CALL_UID => Some(WHO),
        REVISION => Some(Reply([REVISION_MAJOR as u64, REVISION_MINOR as u64, 0, 0])),
        _ => None,
    }
}

/// Whether a function id is MAP; [`Calls::map_page`] is its shortest way.
#[must_use]
#[inline(always)]
pub const fn is_map(x0: u64) -> bool {
    x0 as u32 & !SVE_HINT == Function::Map.id()
}

/// Whether a function id is UNMAP; [`Calls::unmap_page`] is its shortest way.
#[must_use]
#[inline(always)]
pub const fn is_unmap(x0: u64) -> bool {
    x0 as u32 & !SVE_HINT == Function::Unmap.id()
}

/// What the calls of one VM act on. Made once per VM; calls may come from all of its vCPUs at once.
pub struct Calls<'a, O: Outside, G: GuestMemory> {
    pub(super) dma: &'a VmDma<O>,
    pub(super) memory: &'a G,
    features: Reply,
}

impl<'a, O: Outside, G: GuestMemory> Calls<'a, O, G> {
    /// Calls of a VM with this DMA and this memory.
    pub fn new(dma: &'a VmDma<O>, memory: &'a G) -> Self {
        let config = dma.config();
        let bits = u8::try_from(config.ipa_bits()).unwrap_or(u8::MAX);
        Self {
            dma,
            memory,
            features: Features::all(config.page_sizes(), bits).to_reply(),
        }
    }

    /// Answers the call in x0..x7; the result is for x0..x3, all other registers keep their values.
    /// A function that is not of this interface is answered with NOT_SUPPORTED.
    ///
    /// `None` if an interrupt waits before the call is done: after that the guest executes the same
    /// instruction again, and the call goes on.
    #[inline]
    pub fn handle(&self, registers: &[u64; 8]) -> Option<Reply> {
        let [x0, ..] = *registers;
        let identity = identity(x0);
        if identity.is_some() {
            return identity;
        }
        match Request::decode(registers) {
            Ok(Request::DomainFree { domain }) => self.free(domain),
            Ok(request) => Some(self.answer(request)),
            Err(status) => Some(Reply::status(status)),
        }
    }

    /// Answers the usual MAP, one page of RAM. `None` for everything else: then nothing has changed.
    #[inline(always)]
    pub fn map_page(&self, registers: &[u64; 8]) -> Option<Reply> {
        match Request::map(registers) {
            Ok(Request::Map {
                domain,
                iova,
                ipa,
                size: PAGE_SIZE,
                prot,
            }) => self
                .dma
                .map_page(domain, iova, ipa, prot)
                .then_some(Reply::ok(PAGE_SIZE, 0, 0)),
            _ => None,
        }
    }

    /// Answers the usual UNMAP, one page at once. `None` for everything else: then nothing has changed.
    #[inline(always)]
    pub fn unmap_page(&self, registers: &[u64; 8]) -> Option<Reply> {
        match Request::unmap(registers) {
            Ok(Request::Unmap {
                domain,
                iova,
                size: PAGE_SIZE,
                flags,
            }) if flags.is_empty() => Some(match self.dma.unmap_page(domain, iova)? {
                Ok(()) => Reply::ok(PAGE_SIZE, 0, 0),
                Err(error) => Reply::partial(error.status(), PAGE_SIZE, 0),
            }),
            _ => None,
        }
    }

    fn free(&self, domain: u32) -> Option<Reply> {
        match self.dma.free(domain) {
            Ok(Freed::All) => Some(nothing(())),
            Ok(Freed::Part) => None,
            Err(error) => Some(Reply::status(error.status())),
        }
    }

    /// Answers a decoded call; DOMAIN_FREE with RETRY if an interrupt waits before it is done.
    pub fn answer(&self, request: Request) -> Reply {
        let result = match request {
            Request::Map {
                domain,
                iova,
                ipa,
                size,
                prot,
            } => return progress(self.dma.map(domain, iova, ipa, size, prot)),
            Request::Unmap {
                domain,
                iova,
                size,
                flags,
            } => {
                let lazy = flags.contains(UnmapFlags::LAZY);
                return progress(self.dma.unmap(domain, iova, size, lazy));
            }
            Request::MapSg {
                domain,
                iova,
                list,
                count,
                prot,
            } => return self.map_sg(domain, iova, list, count, prot),
            Request::UnmapSg {
                domain,
                list,
                count,
                flags,
            } => return self.unmap_sg(domain, list, count, flags.contains(UnmapFlags::LAZY)),
            Request::Batch { page, count, first } => return self.batch(page, count, first),
            Request::Sync { domain } => self.dma.sync(domain).map(nothing),
            Request::CallUid | Request::Revision => {
                return identity(u64::from(request.function().id()))
                    .unwrap_or(Reply::status(Status::NotSupported));
            }
            Request::Features => return self.features,
            Request::DeviceInfo { endpoint } => self.device_info(endpoint),
            Request::DomainAlloc { flags } => self.dma.alloc(kind(flags)).map(one),
            Request::DomainFree { domain } => {
                return self.free(domain).unwrap_or(Reply::status(Status::Retry));
            }
            Request::Attach { domain, endpoint } => self.dma.attach(domain, endpoint).map(nothing),
            Request::Detach { domain, endpoint } => self.dma.detach(domain, endpoint).map(nothing),
            Request::PowerSet { endpoint, state } => {
                self.dma.power_set(endpoint, state).map(nothing)
            }
            Request::PowerGet { endpoint } => self
                .dma
                .power_get(endpoint)
                .map(|report| Reply::ok(report.endpoint as u64, report.smmu as u64, 0)),
            Request::EventGet => return self.event(),
            Request::Stats { endpoint, page } => self.stats(endpoint, page),
        };
        result.unwrap_or_else(|error| Reply::status(error.status()))
    }

    fn device_info(&self, endpoint: u32) -> Result<Reply, Error> {
        let (info, domain) = self.dma.info(endpoint)?;
        let mut flags = DeviceFlags::PRESENT;
        flags.set(DeviceFlags::ATTACHED, domain.is_some());
        flags.set(DeviceFlags::COHERENT, info.coherent);
        flags.set(DeviceFlags::POWER_TRACKED, info.power_tracked);
        flags.set(DeviceFlags::BLOCKED_BY_DEFAULT, self.dma.policy().strict);
        let power = self.dma.power_get(endpoint)?;
        Ok(Reply::ok(
            flags.bits(),
            u64::from(domain.unwrap_or(0)),
            power.endpoint as u64,
        ))
    }

    fn event(&self) -> Reply {
        match self.dma.events.pop() {
            Some(event) => Reply::ok(event.to_word(), u64::from(event.endpoint), event.iova),
            None => Reply::status(Status::NotRequired),
        }
    }

    fn stats(&self, endpoint: u32, page: StatsPage) -> Result<Reply, Error> {
        let [x1, x2, x3] = self.dma.stats(endpoint, page)?;
        Ok(Reply::ok(x1, x2, x3))
    }
}

fn kind(flags: AllocFlags) -> DomainKind {
    if flags.contains(AllocFlags::IDENTITY) {
        DomainKind::Identity
    } else if flags.contains(AllocFlags::BLOCKED) {
        DomainKind::Blocked
    } else {
        DomainKind::Paging
    }
}

const fn nothing((): ()) -> Reply {
    Reply::ok(0, 0, 0)
}

fn one(value: u32) -> Reply {
    Reply::ok(u64::from(value), 0, 0)
}

#[inline]
fn progress(progress: Progress) -> Reply {
    let status = match progress.result {
        Ok(()) => Status::Success,
        Err(error) => error.status(),
    };
    Reply::partial(status, progress.bytes, 0)
}
