//! Time per operation of this crate and its peers.

mod engines;

use criterion::{Criterion, criterion_group, criterion_main};
use engines::{Engine, cases, prepare};

fn measure<E: Engine>(c: &mut Criterion, name: &str, new: impl Fn() -> E) {
    let mut group = c.benchmark_group(name);
    for case in cases::<E>() {
        group.throughput(criterion::Throughput::Elements(case.operations));
        group.bench_function(case.name, |bencher| {
            let mut engine = new();
            prepare(&mut engine);
            bencher.iter(|| (case.turn)(&mut engine));
        });
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    measure(c, "pgtable", engines::ours::Ours::new);
    measure(c, "aarch64-paging", engines::paging::Paging::new);
    measure(
        c,
        "page_table_multiarch",
        engines::multiarch::Multiarch::new,
    );
}

criterion_group!(benches, all);
criterion_main!(benches);
