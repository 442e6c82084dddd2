//! Faults of banks and of the whole (IHI 0062, 3.6 and 3.12). The registers
//! hold one each; more of them set MULTI and are lost.

use super::V2;
use super::spec::{Page, bank, gfsr, gr0, gr1};
use crate::error::Error;
use crate::fault::{FaultKind, FaultRecord};
use crate::outside::Registers;
use crate::power::Powered;
use pgtable::Ipa;

impl<R: Registers> V2<'_, R> {
    pub(super) fn take_faults(&self, power: &Powered, sink: &mut dyn FnMut(FaultRecord)) -> u32 {
        let mut lost = 0u32;
        for instance in 0..self.window.instances() {
            for number in 0..self.features.banks {
                let more = self.take_bank_fault(power, instance, number, sink);
                lost = lost.wrapping_add(more.into());
            }
            let more = self.take_global_fault(power, instance, sink);
            lost = lost.wrapping_add(more.into());
        }
        lost
    }

    /// Reads everything before FSR is cleared: the next fault overwrites it.
    fn take_bank_fault(
        &self,
        power: &Powered,
        instance: usize,
        number: u16,
        sink: &mut dyn FnMut(FaultRecord),
    ) -> bool {
        let page = Page::Bank(number);
        let read = |register| self.window.read_of(power, instance, page, register);
        let status = read(bank::FSR);
        if status & (bank::FAULTS | bank::MULTI | bank::SS) == 0 {
            return false;
        }
        let syndrome = read(bank::FSYNR0);
        let address = self.window.read64_of(power, instance, page, bank::FAR);
        let ipa = self.window.read64_of(power, instance, page, bank::IPAFAR);
        let who = gr1::cbfrsynra(number);
        let who = self.window.read_of(power, instance, Page::Gr1, who);
        self.window
            .write_of(power, instance, page, bank::FSR, status);
        if status & bank::SS != 0 {
            let end = bank::TERMINATE;
            self.window
                .write_of(power, instance, page, bank::RESUME, end);
        }
        if status & bank::FAULTS != 0 {
            sink(FaultRecord {
                stream: self.streams.lock().name_of(who as u16),
                address: Some(Ipa(address)),
                kind: bank_kind(status),
                write: syndrome & bank::WNR != 0,
                raw: [
                    pair(status, syndrome),
                    address,
                    ipa,
                    pair(who, number.into()),
                ],
            });
        }
        status & bank::MULTI != 0
    }

    fn take_global_fault(
        &self,
        power: &Powered,
        instance: usize,
        sink: &mut dyn FnMut(FaultRecord),
    ) -> bool {
        let read = |register| self.window.read_of(power, instance, Page::Gr0, register);
        let status = read(gr0::GFSR);
        if status & (gfsr::ALL | gfsr::MULTI) == 0 {
            return false;
        }
        let (how, who) = (read(gr0::GFSYNR0), read(gr0::GFSYNR1));
        let address = self.window.read64_of(power, instance, Page::Gr0, gr0::GFAR);
        let clear = |value| {
            let page = Page::Gr0;
            self.window
                .write_of(power, instance, page, gr0::GFSR, value);
        };
        clear(status);
        if status & gfsr::ALL != 0 {
            sink(FaultRecord {
                stream: self.streams.lock().name_of(who as u16),
                address: Some(Ipa(address)),
                kind: global_kind(status),
                write: how & GLOBAL_WNR != 0,
                raw: [pair(status, how), address, 0, pair(who, u32::MAX)],
            });
        }
        status & gfsr::MULTI != 0
    }

    /// Whether the SMMU still is as it was set up; it is condemned otherwise.
    pub(super) fn check_control(&self, power: &Powered) -> Result<(), Error> {
        let value = self.window.read(power, Page::Gr0, gr0::CR0);
        if value & self.control_checked() == self.control() & self.control_checked() {
            Ok(())
        } else {
            Err(Error::ServiceFailure(value))
        }
    }
}

/// sGFSYNR0.WNR.
const GLOBAL_WNR: u32 = 1 << 1;

fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn bank_kind(status: u32) -> FaultKind {
    let kinds = [
        (bank::TF, FaultKind::Translation),
        (bank::PF, FaultKind::Permission),
        (bank::AFF, FaultKind::Access),
        (bank::ASF, FaultKind::AddressSize),
        (bank::EF, FaultKind::External),
        (bank::TLBMCF, FaultKind::Conflict),
    ];
    let found = kinds.iter().find(|(bit, _)| status & bit != 0);
    found.map_or(FaultKind::Other(status as u8), |(_, kind)| *kind)
}

fn global_kind(status: u32) -> FaultKind {
    if status & (gfsr::USF | gfsr::ICF) != 0 {
        FaultKind::Stream
    } else if status & gfsr::SMCF != 0 {
        FaultKind::Conflict
    } else {
        FaultKind::Other(status as u8)
    }
}
