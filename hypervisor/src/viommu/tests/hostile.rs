//! Rings and registers that no driver would write.

use super::*;

#[test]
fn rings_that_make_no_sense_stop_the_device() {
    type Spoil = fn(&Driver);
    let spoils: [(&str, Spoil); 6] = [
        ("head", |d| d.ram.put(AVAIL + 4, &500u16.to_le_bytes())),
        ("index", |d| d.ram.put(AVAIL + 2, &200u16.to_le_bytes())),
        ("loop", |d| {
            d.descriptor(DESC, 0, BUFFERS, 4, DESC_NEXT);
            d.ram.put(DESC + 14, &0u16.to_le_bytes());
        }),
        ("indirect", |d| {
            d.descriptor(DESC, 0, BUFFERS, 16, DESC_INDIRECT)
        }),
        ("not RAM", |d| d.descriptor(DESC, 0, 0x1000, 16, DESC_NEXT)),
        ("order", |d| {
            d.descriptor(DESC, 0, BUFFERS, 16, DESC_NEXT | DESC_WRITE)
        }),
    ];
    for (what, spoil) in spoils {
        let mut driver = Driver::new();
        driver.queue(&[1, 0, 0, 0], 4);
        // A readable descriptor follows.
        if what == "order" {
            driver.descriptor(DESC, 1, BUFFERS, 16, 0);
        }
        spoil(&driver);
        let written = driver.store(register::QUEUE_NOTIFY, 4, 0);
        assert!(driver.line.get() && written == Written::Done, "{what}");
        assert!(driver.needs_reset(), "{what}");
        let written = driver.store(register::QUEUE_NOTIFY, 4, 0);
        assert_eq!(written, Written::Done);
        driver.set(register::STATUS, 0);
        assert!(!driver.needs_reset());
    }
}

#[test]
fn queues_that_cannot_be_used_do_not_get_ready() {
    let driver = Driver::new();
    driver.set(register::STATUS, 0);
    for (num, desc) in [(0, DESC), (3, DESC), (512, DESC), (1 << 20, DESC), (8, 1)] {
        driver.set(register::QUEUE_SEL, 0);
        driver.set(register::QUEUE_NUM, num);
        driver.set(register::QUEUE_DESC_LOW, desc);
        driver.set(register::QUEUE_READY, 1);
        assert_eq!(driver.load(register::QUEUE_READY, 4), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 24 }))]

    /// Whatever is in the rings and whatever is written to the registers: no panic, bounded work.
    #[test]
    fn hostile_rings_and_registers(
        bytes in proptest::collection::vec(prop_oneof![3 => Just(0u8), 2 => 0..5u8, 1 => any::<u8>()],
            4 * PAGE as usize),
        words in proptest::collection::vec((0..0x140u64, prop_oneof![Just(4u8), Just(1), Just(8)],
            prop_oneof![0..4u64, any::<u64>()]), 0..40),
    ) {
        let driver = Driver::new();
        driver.dma.attach_or_create(1, 0x8, crate::dma::DomainKind::Paging).unwrap();
        driver.ram.put(RAM, &bytes);
        for at in [DESC, DESC + 16, DESC + 32] {
            // Give the chain a chance to lead somewhere.
            driver.ram.put(at, &(BUFFERS | 0x10).to_le_bytes());
        }
        driver.ram.put(AVAIL + 2, &3u16.to_le_bytes());
        for _ in 0..8 {
            if driver.store(register::QUEUE_NOTIFY, 4, 0) == Written::Done {
                break;
            }
        }
        for (offset, size, value) in words {
            let _ = driver.store(offset, size, value);
            let _ = driver.load(offset, size);
            let _ = driver.store(register::QUEUE_NOTIFY, 4, 0);
            let _ = driver.deliver();
        }
        driver.dma.stop(|| ()).unwrap();
    }
}
