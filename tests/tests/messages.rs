//! How a stock Debian guest's disk interrupts on boards and kernels that differ
//! in what they offer. (Messages through an ITS are in the scenario.)

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::disk::{self, Wish};
use stagegate_tests::machine::Board;

fn content(wish: Wish<'_>) {
    let dir = dir(wish.name);
    let outcome = ok(disk::run(wish, &dir, LIMIT));
    assert!(outcome.good(), "{}", outcome.console());
    assert!(
        outcome.said(&["ok E5 nvme interrupts"]),
        "{}",
        outcome.console()
    );
}

/// The driver takes messages, lets go of the disk, and takes them again.
#[test]
fn messages_through_the_boards_gicv2m_frame() {
    content(Wish {
        board: Board::VirtGicV2,
        ..Wish::new(
            "messages-v2m",
            "nvme_copy,msi:nvme,nvme_release,nvme_take,nvme_copy",
        )
    });
}

#[test]
fn a_kernel_that_wants_no_messages_has_the_wire() {
    content(Wish {
        kernel: "pci=nomsi",
        ..Wish::new("messages-none", "nvme_copy,intx:nvme")
    });
}
