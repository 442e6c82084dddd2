//! Several CPUs of one VM.

use super::*;

#[test]
fn cpus_map_and_unmap_side_by_side() {
    let vm = vm();
    let id = paging(&vm);
    let rounds = if cfg!(miri) { 4 } else { 300 };
    std::thread::scope(|scope| {
        for cpu in 0..4u64 {
            let vm = &vm;
            scope.spawn(move || {
                let iova = cpu * 64 * PAGE;
                for round in 0..rounds {
                    let lazy = (round + cpu) % 2 == 0;
                    // Two may want to make the same table.
                    retry(|| vm.map(id, iova, RAM + cpu * BLOCK, 16 * PAGE, RW));
                    assert_eq!(
                        translate(vm, id, iova + PAGE).map(|(pa, ..)| pa),
                        Some(RAM_PA + cpu * BLOCK + PAGE)
                    );
                    retry(|| vm.unmap(id, iova, 16 * PAGE, lazy));
                }
            });
        }
    });
    let _ = vm.sync(id);
    assert_eq!(translate(&vm, id, 0), None);
    assert_eq!(vm.free(id), Ok(Freed::All));
}

fn retry(mut call: impl FnMut() -> Progress) {
    for _ in 0..10_000 {
        let progress = call();
        match progress.result {
            Ok(()) => return assert_eq!(progress.bytes, 16 * PAGE),
            Err(Error::Busy) => assert_eq!(progress.bytes, 0),
            error => panic!("{error:?}"),
        }
    }
    panic!("never succeeded");
}

#[test]
fn cpus_racing_on_one_range_leave_it_mapped_or_not() {
    let vm = vm();
    let id = paging(&vm);
    let rounds = if cfg!(miri) { 10 } else { 2000 };
    std::thread::scope(|scope| {
        for cpu in 0..3u64 {
            let vm = &vm;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let _ = vm.map(id, PAGE, RAM + cpu * PAGE, 4 * PAGE, RW);
                    let _ = vm.unmap(id, PAGE, 4 * PAGE, cpu == 0);
                }
            });
        }
    });
    let first = translate(&vm, id, PAGE).is_some();
    for page in 2..5 {
        assert_eq!(translate(&vm, id, page * PAGE).is_some(), first);
    }
    let _ = vm.unmap(id, PAGE, 4 * PAGE, false);
    done(vm.map(id, PAGE, RAM, 4 * PAGE, RW));
}
