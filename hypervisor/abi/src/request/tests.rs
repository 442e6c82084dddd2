use super::*;

fn all() -> Vec<Request> {
    let (domain, endpoint) = (7, 0x108);
    let (iova, size) = (0x1000, 0x2000);
    vec![
        Request::CallUid,
        Request::Revision,
        Request::Features,
        Request::EventGet,
        Request::DeviceInfo { endpoint },
        Request::DomainAlloc {
            flags: AllocFlags::IDENTITY,
        },
        Request::DomainFree { domain },
        Request::Attach { domain, endpoint },
        Request::Detach { domain, endpoint },
        Request::Map {
            domain,
            iova,
            ipa: 0x4000_0000,
            size,
            prot: Prot::READ | Prot::CACHE,
        },
        Request::Unmap {
            domain,
            iova,
            size,
            flags: UnmapFlags::LAZY,
        },
        Request::MapSg {
            domain,
            iova,
            list: 0x4000_1000,
            count: 256,
            prot: Prot::WRITE,
        },
        Request::UnmapSg {
            domain,
            list: 0x4000_1000,
            count: 3,
            flags: UnmapFlags::empty(),
        },
        Request::Sync { domain },
        Request::Batch {
            page: 0x4000_2000,
            count: 112,
            first: 5,
        },
        Request::PowerSet {
            endpoint,
            state: PowerState::On,
        },
        Request::PowerGet { endpoint },
        Request::Stats {
            endpoint,
            page: StatsPage::SmmuWork,
        },
    ]
}

#[test]
fn every_request_round_trips() {
    let all = all();
    assert_eq!(all.len(), crate::function::FUNCTIONS.len());
    for request in all {
        assert_eq!(
            Request::decode(&request.encode()),
            Ok(request),
            "{request:?}"
        );
    }
}

#[test]
fn golden_registers_of_map() {
    let registers = [0xc600_0106, 7, 0x1000, 0x4000_0000, 0x2000, 0b111, 99, 99];
    assert_eq!(
        Request::decode(&registers),
        Ok(Request::Map {
            domain: 7,
            iova: 0x1000,
            ipa: 0x4000_0000,
            size: 0x2000,
            prot: Prot::READ | Prot::WRITE | Prot::CACHE,
        })
    );
}

#[test]
fn registers_a_call_does_not_define_are_ignored() {
    for request in all() {
        let mut registers = request.encode();
        registers[6] = u64::MAX;
        registers[7] = u64::MAX;
        assert_eq!(Request::decode(&registers), Ok(request));
    }
}

#[test]
fn reserved_arguments_must_be_zero() {
    // (function, register, value)
    for (id, at, value) in [
        (0xc600_0100u64, 1, 1u64), // FEATURES word
        (0xc600_0102, 1, 4),       // unknown allocation flag
        (0xc600_0102, 1, 3),       // identity and blocked exclude each other
        (0xc600_0103, 1, 1 << 32), // domain is 32 bits
        (0xc600_0104, 3, 1),       // PASID
        (0xc600_0105, 3, 1),       // PASID
        (0xc600_0107, 4, 2),       // unknown unmap flag
        (0xc600_010b, 2, 2),       // power state
        (0xc600_010e, 2, 4),       // statistics page
        (0xc600_0101, 1, 0x1_0000_0000),
    ] {
        let mut registers = [0; 8];
        registers[0] = id;
        registers[at] = value;
        assert_eq!(
            Request::decode(&registers),
            Err(Status::InvalidParameter),
            "{id:#x} x{at}={value:#x}"
        );
    }
}

#[test]
fn unknown_functions_are_not_supported() {
    assert_eq!(
        Request::decode(&[0xc600_0110, 0, 0, 0, 0, 0, 0, 0]),
        Err(Status::NotSupported)
    );
}
