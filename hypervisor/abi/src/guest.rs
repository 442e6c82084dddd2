//! Typed calls for a guest. The guest supplies the `hvc` itself, so nothing here is unsafe.

use crate::{
    AllocFlags, DeviceFlags, Event, Features, Prot, REVISION_MAJOR, Reply, Request, Status, UID,
    UnmapFlags,
};

/// Issues `hvc #0`: x0..x7 in, x0..x3 out.
pub trait Conduit {
    /// One call.
    fn call(&self, registers: [u64; 8]) -> [u64; 4];
}

impl<F: Fn([u64; 8]) -> [u64; 4]> Conduit for F {
    fn call(&self, registers: [u64; 8]) -> [u64; 4] {
        self(registers)
    }
}

/// Stagegate, as a guest sees it.
#[derive(Debug)]
pub struct Stagegate<C>(C);

impl<C: Conduit> Stagegate<C> {
    /// Asks who answers; `None` if it is not Stagegate or of another major revision.
    pub fn probe(conduit: C) -> Option<Self> {
        let this = Self(conduit);
        let Reply(uid) = this.request(Request::CallUid);
        let Reply([major, ..]) = this.request(Request::Revision);
        (uid == UID.map(u64::from) && major == u64::from(REVISION_MAJOR)).then_some(this)
    }

    /// Any call.
    pub fn request(&self, request: Request) -> Reply {
        Reply(self.0.call(request.encode()))
    }

    fn checked(&self, request: Request) -> Result<[u64; 4], Status> {
        let reply = self.request(request);
        match reply.code() {
            Status::Success => Ok(reply.0),
            status => Err(status),
        }
    }

    /// FEATURES.
    ///
    /// # Errors
    /// Any status but success.
    pub fn features(&self) -> Result<Features, Status> {
        self.checked(Request::Features)
            .map(|words| Features::from_reply(Reply(words)))
    }

    /// DEVICE_INFO: flags and domain.
    ///
    /// # Errors
    /// [`Status::NotFound`] for an endpoint that the VM has not.
    pub fn device_info(&self, endpoint: u32) -> Result<(DeviceFlags, u32), Status> {
        let [_, flags, domain, _] = self.checked(Request::DeviceInfo { endpoint })?;
        Ok((DeviceFlags::from_bits_truncate(flags), domain as u32))
    }

    /// DOMAIN_ALLOC: the new domain's id.
    ///
    /// # Errors
    /// [`Status::NoMemory`] when the VM has as many as it may.
    pub fn domain_alloc(&self, flags: AllocFlags) -> Result<u32, Status> {
        let [_, id, ..] = self.checked(Request::DomainAlloc { flags })?;
        Ok(id as u32)
    }

    /// ATTACH.
    ///
    /// # Errors
    /// As docs/abi.md.
    pub fn attach(&self, domain: u32, endpoint: u32) -> Result<(), Status> {
        self.checked(Request::Attach { domain, endpoint })
            .map(|_| ())
    }

    /// MAP, repeated until the whole range is mapped.
    ///
    /// # Errors
    /// The first status but success and the bytes mapped before it.
    pub fn map(
        &self,
        domain: u32,
        iova: u64,
        ipa: u64,
        size: u64,
        prot: Prot,
    ) -> Result<(), (Status, u64)> {
        progress(size, |done| {
            self.request(Request::Map {
                domain,
                iova: iova.wrapping_add(done),
                ipa: ipa.wrapping_add(done),
                size: size.wrapping_sub(done),
                prot,
            })
        })
    }

    /// UNMAP, repeated until the whole range is unmapped.
    ///
    /// # Errors
    /// The first status but success and the bytes unmapped before it.
    pub fn unmap(
        &self,
        domain: u32,
        iova: u64,
        size: u64,
        flags: UnmapFlags,
    ) -> Result<(), (Status, u64)> {
        progress(size, |done| {
            self.request(Request::Unmap {
                domain,
                iova: iova.wrapping_add(done),
                size: size.wrapping_sub(done),
                flags,
            })
        })
    }

    /// EVENT_GET: the next fault, if there is one.
    pub fn event(&self) -> Option<Event> {
        let [_, word, endpoint, iova] = self.checked(Request::EventGet).ok()?;
        Some(Event::from_words(word, endpoint, iova))
    }
}

/// Repeats a call that reports its progress in x1 until `size` bytes are done.
fn progress(size: u64, mut call: impl FnMut(u64) -> Reply) -> Result<(), (Status, u64)> {
    let mut done = 0u64;
    while done < size {
        let reply = call(done);
        let Reply([_, bytes, ..]) = reply;
        done = done.saturating_add(bytes);
        match reply.code() {
            Status::Success if bytes != 0 => {}
            Status::Success => return Err((Status::Retry, done)),
            status => return Err((status, done)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_refuses_another_hypervisor() {
        let kvm = |_: [u64; 8]| [0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d];
        assert!(Stagegate::probe(kvm).is_none());
        let ours = |registers: [u64; 8]| match Request::decode(&registers) {
            Ok(Request::CallUid) => UID.map(u64::from),
            Ok(Request::Revision) => [1, 0, 0, 0],
            _ => [u64::MAX, 0, 0, 0],
        };
        assert!(Stagegate::probe(ours).is_some());
    }

    #[test]
    fn map_is_repeated_until_done_and_stops_at_an_error() {
        let bounded = |registers: [u64; 8]| match Request::decode(&registers) {
            Ok(Request::Map { iova, .. }) if iova >= 0x9000 => Reply::status(Status::Exists).0,
            Ok(Request::Map { size, .. }) => [0, size.min(0x2000), 0, 0],
            _ => [u64::MAX, 0, 0, 0],
        };
        let guest = Stagegate(bounded);
        assert_eq!(guest.map(1, 0x1000, 0, 0x8000, Prot::READ), Ok(()));
        assert_eq!(
            guest.map(1, 0x5000, 0, 0x8000, Prot::READ),
            Err((Status::Exists, 0x4000))
        );
    }

    #[test]
    fn no_progress_does_not_hang() {
        let stuck = |_: [u64; 8]| [0; 4];
        let guest = Stagegate(stuck);
        assert_eq!(
            guest.unmap(1, 0, 0x1000, UnmapFlags::LAZY),
            Err((Status::Retry, 0))
        );
    }
}
