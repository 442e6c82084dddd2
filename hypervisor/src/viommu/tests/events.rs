//! What the device tells of: the doorbell, and faults.

use super::*;

#[test]
fn probe_tells_of_the_msi_doorbell() {
    let mut driver = Driver::new();
    let probe = |endpoint| Probe {
        head: [request::PROBE, 0, 0, 0],
        endpoint,
        reserved: [0; 64],
    };
    let at = driver.queue(probe(0x8).as_bytes(), 68);
    driver.kick();
    let answer = driver.ram.get(at, 68);
    let (region, rest) = ResvMem::read_from_prefix(&answer).unwrap();
    let (kind, length, start, end) = (region.kind, region.length, region.start, region.end);
    assert_eq!((kind, length, region.subtype), (1, 20, 1));
    assert_eq!((start, end), (DOORBELL, DOORBELL + PAGE - 1));
    assert!(rest.iter().all(|byte| *byte == 0), "no more, and OK");
    let at = driver.queue(probe(0x9).as_bytes(), 68);
    driver.kick();
    assert_eq!(driver.ram.get(at + 64, 1), [NO_ENTRY]);
    assert_eq!(driver.call(probe(0x8).as_bytes()), INVALID, "no room");
}

#[test]
fn faults_reach_the_event_queue() {
    let driver = Driver::new();
    let event = Event {
        reason: EventReason::Mapping,
        flags: EventFlags::WRITE | EventFlags::ADDRESS,
        endpoint: 0x10,
        iova: 0x1234_5678,
    };
    driver.dma.events.push(event);
    assert!(!driver.deliver(), "no buffer yet");
    driver.descriptor(EVENT_DESC, 0, EVENT_BUFFERS, 24, DESC_WRITE);
    driver.ram.put(EVENT_AVAIL + 2, &1u16.to_le_bytes());
    let _ = driver.store(register::QUEUE_NOTIFY, 4, 1);
    assert!(driver.line.get());
    let bytes = driver.ram.get(EVENT_BUFFERS, 24);
    let fault = Fault::read_from_bytes(&bytes).unwrap();
    assert_eq!(
        (fault.reason, fault.flags, fault.endpoint),
        (2, 0x102, 0x10)
    );
    assert_eq!(fault.address, 0x1234_5678);
    let _ = driver.store(register::INTERRUPT_ACK, 4, 1);
    assert!(!driver.line.get());
    driver.dma.events.push(event);
    assert!(!driver.deliver());
    assert!(
        !driver.dma.events.is_empty(),
        "kept until there is a buffer"
    );
}

#[test]
fn no_cpu_waits_for_another_and_no_fault_is_left_behind() {
    let driver = Driver::new();
    driver.descriptor(EVENT_DESC, 0, EVENT_BUFFERS, 24, DESC_WRITE);
    driver.ram.put(EVENT_AVAIL + 2, &1u16.to_le_bytes());
    driver.dma.events.push(Event {
        reason: EventReason::Mapping,
        flags: EventFlags::WRITE,
        endpoint: 0x10,
        iova: 0,
    });
    {
        let _other_cpu = driver.device.state.lock();
        assert_eq!(driver.device.read(register::STATUS, 4, |_| ()), None);
        assert_eq!(driver.store(register::STATUS, 4, 0), Written::Again);
        assert!(!driver.deliver());
        assert_eq!(driver.load(register::CONFIG, 8), !(PAGE - 1), "no state");
    }
    assert!(!driver.dma.events.is_empty());
    // Whoever had it looks once more. The store above was not done.
    assert_eq!(driver.load(register::STATUS, 4), 0xf);
    assert!(driver.dma.events.is_empty() && driver.line.get());
}
