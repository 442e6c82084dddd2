//! Every interleaving of two CPUs, with the real code on tables of four
//! entries. Run with `RUSTFLAGS="--cfg loom" cargo test -p pgtable --test
//! loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;
use pgtable::{Arena, Attrs, Config, Entry, Error, Granule, Ipa, Pa, Publish, Table, Walks};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

const RAM: Pa = Pa(0x10_0000);
const PAGE: u64 = 0x1000;
/// What one table of four entries maps.
const TABLE: u64 = 4 * PAGE;

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 20_000;
    builder.check(test);
}

fn config() -> Config {
    Config::new(Granule::Tiny, 15, 48)
        .unwrap()
        .with_contiguous(false)
}

fn table() -> Arc<Table<Arena>> {
    Arc::new(Table::new(config(), Arena::new(RAM, 6 * 4096)).unwrap())
}

fn map(table: &Table<Arena>, ipa: u64, pa: u64, len: u64) -> Result<(), Error> {
    table.map(Ipa(ipa), Pa(pa), len, Attrs::RAM)
}

fn unmap(table: &Table<Arena>, ipa: u64, len: u64) -> Result<(), Error> {
    let gone = table.unmap(Ipa(ipa), len)?;
    table.release(gone, |_| Ok::<(), ()>(())).unwrap();
    Ok(())
}

fn at(table: &Table<Arena>, ipa: u64) -> Option<u64> {
    table.translate(Ipa(ipa)).map(|(pa, ..)| pa.0)
}

/// Runs both and ends the table: every frame must be there, once.
fn both<R: Send + 'static>(
    table: Arc<Table<Arena>>,
    one: impl FnOnce(&Table<Arena>) -> R + Send + 'static,
    two: impl FnOnce(&Table<Arena>) -> R + Send + 'static,
    check: impl FnOnce(&Table<Arena>, R, R),
) {
    let other = {
        let table = table.clone();
        thread::spawn(move || two(&table))
    };
    let first = one(&table);
    let second = other.join().unwrap();
    check(&table, first, second);
    let table = Arc::try_unwrap(table).unwrap_or_else(|_| panic!("still shared"));
    let arena = table
        .destroy(|_| Ok::<(), ()>(()))
        .map_err(|(_, e)| e)
        .unwrap();
    assert_eq!(arena.in_use(), 0);
}

fn racing(error: Error) -> bool {
    matches!(error, Error::AlreadyMapped(_) | Error::Racing(_))
}

#[test]
fn two_maps_of_one_page_have_one_winner() {
    model(|| {
        both(
            table(),
            |t| map(t, 0, 0x1000, PAGE),
            |t| map(t, 0, 0x2000, PAGE),
            |t, one, two| {
                let winner = match (one, two) {
                    (Ok(()), Err(error)) if racing(error) => 0x1000,
                    (Err(error), Ok(())) if racing(error) => 0x2000,
                    other => panic!("{other:?}"),
                };
                assert_eq!(at(t, 0), Some(winner));
                assert_eq!(t.memory().in_use(), 2, "the loser's page is free again");
            },
        );
    });
}

#[test]
fn two_maps_below_one_missing_table_both_succeed() {
    model(|| {
        both(
            table(),
            |t| map(t, 0, 0x1000, PAGE),
            |t| map(t, PAGE, 0x2000, 2 * PAGE),
            |t, one, two| {
                assert_eq!((one, two), (Ok(()), Ok(())));
                assert_eq!((at(t, 0), at(t, PAGE)), (Some(0x1000), Some(0x2000)));
                assert_eq!(t.memory().in_use(), 2);
            },
        );
    });
}

#[test]
fn overlapping_ranges_are_all_or_nothing() {
    model(|| {
        both(
            table(),
            |t| map(t, 0, 0x1_0000, 3 * PAGE),
            |t| map(t, PAGE, 0x2_0000, 3 * PAGE),
            |t, one, two| {
                let seen: Vec<_> = (0..4).map(|page| at(t, page * PAGE)).collect();
                let first = [Some(0x1_0000), Some(0x1_1000), Some(0x1_2000), None];
                let second = [None, Some(0x2_0000), Some(0x2_1000), Some(0x2_2000)];
                match (one, two) {
                    (Ok(()), Err(_)) => assert_eq!(seen, first),
                    (Err(_), Ok(())) => assert_eq!(seen, second),
                    (Err(_), Err(_)) => assert_eq!(seen, [None; 4]),
                    both => panic!("{both:?}"),
                }
            },
        );
    });
}

#[test]
fn map_and_unmap_of_neighbours_do_not_meet() {
    model(|| {
        let table = table();
        map(&table, 0, 0x1000, PAGE).unwrap();
        both(
            table,
            |t| unmap(t, 0, PAGE),
            |t| map(t, PAGE, 0x2000, PAGE),
            |t, one, two| {
                assert_eq!((one, two), (Ok(()), Ok(())));
                assert_eq!((at(t, 0), at(t, PAGE)), (None, Some(0x2000)));
            },
        );
    });
}

#[test]
fn two_unmaps_of_one_page_have_one_winner() {
    model(|| {
        let table = table();
        map(&table, 0, 0x1000, 2 * PAGE).unwrap();
        both(
            table,
            |t| unmap(t, 0, 2 * PAGE),
            |t| unmap(t, PAGE, PAGE),
            |t, one, two| {
                let ok = [one, two].iter().filter(|done| done.is_ok()).count();
                assert!(ok <= 1);
                // A range that met the other one half way is whole again.
                assert_eq!(at(t, 0).is_none(), one.is_ok());
                assert_eq!(at(t, PAGE).is_none(), ok == 1);
            },
        );
    });
}

#[test]
fn two_unmaps_of_one_table_take_it_out_once() {
    model(|| {
        let table = table();
        map(&table, 0, PAGE, TABLE).unwrap();
        both(
            table,
            |t| unmap(t, 0, TABLE),
            |t| unmap(t, 0, TABLE),
            |t, one, two| {
                let ok = [one, two].iter().filter(|done| done.is_ok()).count();
                assert!(ok <= 1);
                // Its page is free, or in limbo if the other was still inside.
                assert!(t.memory().in_use() <= 2);
                assert_eq!(at(t, 0).is_none(), ok == 1);
            },
        );
    });
}

/// Nobody maps a page that a walker may still remember otherwise, whichever
/// way it is unmapped and mapped.
#[test]
fn no_page_is_mapped_before_it_is_forgotten() {
    type Unmap = fn(&Table<Arena>, &AtomicBool);
    type Map = fn(&Table<Arena>) -> Result<(), Error>;
    fn forget(forgotten: &AtomicBool) -> Result<(), ()> {
        forgotten.store(true, Relaxed);
        Ok(())
    }
    let now: Unmap = |t, forgotten| {
        let done = t.unmap_page(Ipa(0), |_| forget(forgotten));
        assert_eq!(done, Some(Ok(())));
    };
    let range: Unmap = |t, forgotten| {
        let gone = t.unmap(Ipa(0), 2 * PAGE).unwrap();
        t.release(gone, |_| forget(forgotten)).unwrap();
    };
    let whole: Unmap = |t, forgotten| {
        let gone = t.unmap(Ipa(0), TABLE).unwrap();
        t.release(gone, |_| forget(forgotten)).unwrap();
    };
    let short: Map = |t| {
        let done = t.map_page(Ipa(0), Pa(0x9000), config().leaf(Attrs::RAM));
        done.then_some(()).ok_or(Error::Racing(Ipa(0)))
    };
    let one: Map = |t| map(t, 0, 0x9000, PAGE);
    let two: Map = |t| map(t, 0, 0x9000, 2 * PAGE);
    let list: Map = |t| t.batch(Attrs::RAM).map(Ipa(0), Pa(0x9000), PAGE);
    for (pages, out, into) in [
        (1, now, short),
        (1, now, one),
        (1, now, list),
        (2, range, two),
        (4, whole, one),
    ] {
        model(move || {
            let table = table();
            let forgotten = Arc::new(AtomicBool::new(false));
            map(&table, 0, PAGE, pages * PAGE).unwrap();
            let seen = forgotten.clone();
            both(
                table,
                move |t| {
                    out(t, &forgotten);
                    Ok(())
                },
                move |t| into(t).inspect(|()| assert!(seen.load(Relaxed), "mapped too early")),
                |t, _, mapped| {
                    assert!(mapped.is_ok() || mapped.is_err_and(racing));
                    assert_eq!(at(t, 0), mapped.ok().map(|()| 0x9000));
                },
            );
        });
    }
}

/// The same where a third one claims the page in between and gives it back.
#[test]
fn no_page_is_mapped_before_it_is_forgotten_after_a_map_that_failed() {
    model(|| {
        let table = table();
        let forgotten = Arc::new(AtomicBool::new(false));
        map(&table, 0, PAGE, 2 * PAGE).unwrap();
        let fails = {
            let table = table.clone();
            thread::spawn(move || assert!(map(&table, 0, 0x8000, 2 * PAGE).is_err()))
        };
        let seen = forgotten.clone();
        both(
            table,
            move |t| {
                let forget = |_| {
                    forgotten.store(true, Relaxed);
                    Ok::<(), ()>(())
                };
                assert_eq!(t.unmap_page(Ipa(0), forget), Some(Ok(())));
                Ok(())
            },
            move |t| {
                let done = map(t, 0, 0x9000, PAGE);
                done.inspect(|()| assert!(seen.load(Relaxed), "mapped too early"))
            },
            move |_, _, mapped| {
                fails.join().unwrap();
                assert!(mapped.is_ok() || mapped.is_err_and(racing));
            },
        );
    });
}

/// A mark that races with the end of its leaf leaves nothing behind, and takes
/// nothing from what is mapped there next.
#[test]
fn a_mark_goes_with_its_leaf() {
    model(|| {
        let table = table();
        map(&table, 0, 0x1000, PAGE).unwrap();
        both(
            table,
            |t| {
                t.mark_first(Ipa(0));
                Ok(())
            },
            |t| {
                unmap(t, 0, PAGE)?;
                map(t, 0, 0x2000, PAGE)
            },
            |t, _, mapped| {
                assert_eq!(mapped, Ok(()));
                let (pa, attrs, _) = t.translate(Ipa(0)).unwrap();
                assert_eq!((pa, attrs), (Pa(0x2000), Attrs::RAM));
                unmap(t, 0, PAGE).unwrap();
                assert_eq!(t.translate(Ipa(0)), None);
            },
        );
    });
}

#[test]
fn a_map_below_a_table_that_goes_is_not_lost() {
    model(|| {
        let table = table();
        map(&table, 0, PAGE, TABLE).unwrap();
        both(
            table,
            |t| unmap(t, 0, TABLE),
            |t| map(t, PAGE, 0x9000, PAGE),
            |t, one, two| {
                assert_eq!(one, Ok(()));
                match two {
                    Ok(()) => assert_eq!(at(t, PAGE), Some(0x9000)),
                    Err(error) => {
                        assert!(racing(error));
                        assert_eq!(at(t, PAGE), None);
                    }
                }
            },
        );
    });
}

#[test]
fn a_batch_that_holds_a_table_that_goes_loses_nothing() {
    model(|| {
        let table = table();
        map(&table, 0, 0x1000, PAGE).unwrap();
        both(
            table,
            |t| {
                let gone = t.clear(Ipa(0), TABLE).unwrap();
                t.release(gone, |_| Ok::<(), ()>(())).unwrap();
                (Ok(()), Ok(()))
            },
            |t| {
                let mut batch = t.batch(Attrs::RAM);
                let mut map = |page| batch.map(Ipa(page * PAGE), Pa(0x9000), PAGE);
                (map(1), map(2))
            },
            |t, _, (one, two)| {
                assert_eq!(at(t, 0), None);
                // Each mapped before the sweep came by, after it, or not at all.
                for (page, done) in [(1, one), (2, two)] {
                    let seen = at(t, page * PAGE);
                    assert!(seen.is_none() || done.is_ok() && seen == Some(0x9000));
                    assert!(done.is_ok() || done.is_err_and(racing));
                }
            },
        );
    });
}

#[test]
fn a_map_into_a_table_being_pruned_is_not_lost() {
    model(|| {
        let table = table();
        map(&table, 0, PAGE, PAGE).unwrap();
        unmap(&table, 0, PAGE).unwrap();
        both(
            table,
            |t| {
                let gone = t.prune(Ipa(0), TABLE).unwrap();
                t.release(gone, |_| Ok::<(), ()>(())).unwrap();
                Ok(())
            },
            |t| map(t, PAGE, 0x9000, PAGE),
            |t, _, two| match two {
                Ok(()) => assert_eq!(at(t, PAGE), Some(0x9000)),
                Err(error) => {
                    assert_eq!(error, Error::Racing(Ipa(PAGE)));
                    assert_eq!(at(t, PAGE), None);
                }
            },
        );
    });
}

#[test]
fn a_reader_never_sees_a_freed_table() {
    model(|| {
        let table = table();
        map(&table, 0, PAGE, TABLE).unwrap();
        both(
            table,
            |t| {
                unmap(t, 0, TABLE).unwrap();
                None
            },
            |t| at(t, 2 * PAGE),
            |_, _, seen| assert!(seen.is_none() || seen == Some(3 * PAGE), "{seen:x?}"),
        );
    });
}

#[test]
fn clear_and_map_agree_about_each_page() {
    model(|| {
        let table = table();
        map(&table, 0, PAGE, PAGE).unwrap();
        both(
            table,
            |t| {
                let gone = t.clear(Ipa(0), TABLE).unwrap();
                t.release(gone, |_| Ok::<(), ()>(())).unwrap();
                Ok(())
            },
            |t| map(t, PAGE, 0x9000, PAGE),
            |t, _, two| {
                assert_eq!(at(t, 0), None);
                // Mapped before the sweep came by, after it, or not at all.
                let seen = at(t, PAGE);
                assert!(seen.is_none() || two.is_ok() && seen == Some(0x9000));
            },
        );
    });
}

/// What has reached the point of coherency, by the address of the entry.
#[derive(Default)]
struct Seen(Mutex<HashMap<usize, u64>>);

impl Publish for Seen {
    fn order(&self) {}
    fn complete(&self) {}
    fn clean(&self, entries: &[Entry]) {
        for entry in entries {
            let word = entry.load(Ordering::SeqCst);
            self.0
                .lock()
                .unwrap()
                .insert(std::ptr::from_ref(entry).addr(), word);
        }
    }
}

#[test]
fn whoever_returns_from_map_is_visible_to_a_walker_without_snooping() {
    model(|| {
        let arena = Arena::with_walkers(RAM, 6 * 4096, Seen::default());
        let config = config().with_walks(Walks::NonCoherent);
        let table = Arc::new(Table::new(config, arena).unwrap());
        let visible = |table: &Table<Arena<Seen>>, page: usize| {
            use pgtable::Memory;
            let seen = table.memory().walkers().0.lock().unwrap();
            let root = table.memory().entries(table.root());
            let Some(word) = seen.get(&root.addr().get()).filter(|word| *word & 3 == 3) else {
                return false;
            };
            let leaf = table.memory().entries(Pa(word & 0x0000_ffff_ffff_f000));
            let leaf = leaf.addr().get() + page * size_of::<Entry>();
            seen.get(&leaf).is_some_and(|word| word & 1 == 1)
        };
        let other = {
            let table = table.clone();
            thread::spawn(move || {
                table.map(Ipa(PAGE), Pa(0x2000), PAGE, Attrs::RAM).unwrap();
                assert!(visible(&table, 1), "the second mapper depends on the first");
            })
        };
        table.map(Ipa(0), Pa(0x1000), PAGE, Attrs::RAM).unwrap();
        assert!(visible(&table, 0), "the first mapper depends on the second");
        other.join().unwrap();
    });
}
