//! What a VM's stage 2 maps, for the operator: a page at a time, so that no
//! guest waits for a whole table to be printed.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};

use pgtable::{Ipa, Region};

use crate::machine::board::console::print;
use crate::machine::vm::Vm;
use crate::machine::vm::space::Stage2;

/// Lines of a page: what fits a terminal.
const LINES: usize = 20;

/// Where the next page starts: an address, and in its low bits, which are zero
/// in any page's address, the number of the VM.
static NEXT: AtomicU64 = AtomicU64::new(0);
const VM_BITS: u64 = 0xfff;

/// Regions that continue one another.
struct Run {
    first: Region,
    len: u64,
    count: u64,
}

impl Run {
    fn takes(&self, next: &Region) -> bool {
        let same = self.first.attrs == next.attrs && self.first.len == next.len;
        same && self.first.ipa.0.checked_add(self.len) == Some(next.ipa.0)
            && self.first.pa.0.checked_add(self.len) == Some(next.pa.0)
    }

    fn show(&self) {
        let (ipa, pa) = (self.first.ipa.0, self.first.pa.0);
        print(format_args!(
            "{ipa:#014x}-{:#014x} -> {pa:#014x} {:?} {} x {} KiB\n",
            ipa.wrapping_add(self.len).wrapping_sub(1),
            self.first.attrs,
            self.count,
            self.first.len >> 10
        ));
    }
}

/// Prints the next page of the tables of `vm`, number `number` for the
/// operator; the first if another VM's were shown before.
pub fn page(number: usize, vm: &Vm) {
    let number = number as u64 & VM_BITS;
    let last = NEXT.load(Ordering::Relaxed);
    let from = if last & VM_BITS == number {
        last & !VM_BITS
    } else {
        0
    };
    if from == 0 {
        print_title(vm);
    }
    let next = print_runs(&vm.space.stage2, from);
    NEXT.store(
        next.map_or(0, |at| at & !VM_BITS | number),
        Ordering::Relaxed,
    );
    if next.is_some() {
        print(format_args!("more: t and {number} again\n"));
    }
}

fn print_title(vm: &Vm) {
    let stage2 = &vm.space.stage2;
    let config = stage2.config();
    print(format_args!(
        "{}: stage 2 at {}, {} bits in, {} bits out\n",
        vm.name,
        stage2.root(),
        config.ipa_bits(),
        config.pa_bits()
    ));
}

/// Prints up to [`LINES`] runs from address `from` on; where the next begins,
/// if there are more.
fn print_runs(stage2: &Stage2, from: u64) -> Option<u64> {
    let size = 1_u64.wrapping_shl(stage2.config().ipa_bits());
    let mut run: Option<Run> = None;
    let mut shown = 0;
    let seen = stage2.visit(Ipa(from), size.saturating_sub(from), |next| {
        match &mut run {
            Some(run) if run.takes(&next) => {
                run.len = run.len.wrapping_add(next.len);
                run.count = run.count.wrapping_add(1);
                return ControlFlow::Continue(());
            }
            Some(run) => {
                run.show();
                shown += 1;
            }
            None => {}
        }
        if shown == LINES {
            return ControlFlow::Break(next.ipa.0);
        }
        run = Some(Run {
            first: next,
            len: next.len,
            count: 1,
        });
        ControlFlow::Continue(())
    });
    if let Ok(ControlFlow::Break(next)) = seen {
        return Some(next);
    }
    match run {
        Some(run) => run.show(),
        None => print(format_args!("nothing mapped\n")),
    }
    None
}
