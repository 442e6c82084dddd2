//! Instructions per operation, counted by callgrind, of this crate and its
//! peers; and how two threads scale. Writes JSON to the path given by `--json`
//! or `PGTABLE_JSON`. `--threads` measures only the threads.
//!
//! Each case runs twice as its own process under callgrind, with different
//! numbers of turns: the difference is what the turns cost, without start-up.
//! What an empty turn costs is taken off: the benchmark's own loop, and for
//! lookups the same loop over the same 16 addresses that looks nothing up.

mod engines;

use engines::multiarch::Multiarch;
use engines::ours::Ours;
use engines::paging::Paging;
use engines::{BLOCK, Case, Engine, PAGE, REGION, cases, prepare};
use pgtable::{Attrs, Heap, Ipa, Pa};
use std::process::{Command, ExitCode};
use std::time::Instant;

const FEW: u64 = 100;
const MANY: u64 = 1100;

fn turns<E: Engine>(mut engine: E, case: &str, empty: bool, count: u64) {
    prepare(&mut engine);
    let case = cases::<E>().into_iter().find(|c| c.name == case);
    let case = case.expect("a case's name");
    let turn = std::hint::black_box(if empty { case.empty } else { case.turn });
    for _ in 0..count {
        turn(&mut engine);
    }
}

fn run(engine: &str, case: &str, empty: bool, count: u64) {
    match engine {
        "pgtable" => turns(Ours::new(), case, empty, count),
        "aarch64-paging" => turns(Paging::new(), case, empty, count),
        "page_table_multiarch" => turns(Multiarch::new(), case, empty, count),
        other => panic!("no engine {other}"),
    }
}

/// Instructions of this program with the given turns.
fn count(engine: &str, case: &str, what: &str, turns: u64) -> Option<u64> {
    let me = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["--run", engine, case, what, &turns.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Instructions of one turn.
fn cost(engine: &str, case: &str, what: &str) -> Option<f64> {
    let (few, many) = count(engine, case, what, FEW).zip(count(engine, case, what, MANY))?;
    Some((many - few) as f64 / (MANY - FEW) as f64)
}

/// Turns per second of `threads`, each in a region of its own; all of them in
/// one table, or each in its own table.
fn rate(threads: u64, shared: bool) -> f64 {
    const TURNS: u64 = 300_000;
    let tables: Vec<Ours> = (0..threads).map(|_| Ours::new()).collect();
    let table = |thread: u64| &tables[if shared { 0 } else { thread as usize }].0;
    let regions = |thread| REGION + thread * BLOCK;
    for thread in 0..threads {
        table(thread)
            .map(Ipa(regions(thread)), Pa(0), PAGE, Attrs::RAM)
            .unwrap();
    }
    // Timed by the threads themselves: whoever waits for them may be late.
    let gate = std::sync::Barrier::new(threads as usize);
    let work = |thread: u64| {
        let (table, ipa) = (table(thread), Ipa(regions(thread) + 8 * PAGE));
        Heap::number_thread(thread as usize);
        gate.wait();
        let start = Instant::now();
        for _ in 0..TURNS {
            table.map(ipa, Pa(0x1000), PAGE, Attrs::RAM).unwrap();
            let gone = table.unmap(ipa, PAGE).unwrap();
            table.release(gone, |_| Ok::<(), ()>(())).unwrap();
        }
        (start, Instant::now())
    };
    let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        all.into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let first = spans.iter().map(|(start, _)| *start).min().unwrap();
    let last = spans.iter().map(|(_, end)| *end).max().unwrap();
    (threads * TURNS) as f64 / (last - first).as_secs_f64()
}

/// Rates of one thread, of two in one table, and of two that share nothing:
/// what the machine itself allows. The best of several runs: others use this
/// machine too.
fn scaling() -> [f64; 3] {
    let mut best = [0.0f64; 3];
    for _ in 0..100 {
        let kinds = [(1, true), (2, true), (2, false)];
        for ((threads, shared), best) in kinds.into_iter().zip(&mut best) {
            *best = best.max(rate(threads, shared));
        }
    }
    best
}

/// Prints how threads scale; the same as JSON.
fn threads() -> String {
    let [one, two, apart] = scaling();
    let (ratio, limit) = (two / one, apart / one);
    println!("{:36}{ratio:>10.2}x", "two threads, two regions");
    println!("{:36}{limit:>10.2}x", "two threads that share nothing");
    format!(
        "{{ \"one_per_s\": {one:.0}, \"two_per_s\": {two:.0}, \"ratio\": {ratio:.2}, \"ratio_apart\": {limit:.2} }}"
    )
}

fn report(path: Option<&str>) -> ExitCode {
    let engines = ["pgtable", "aarch64-paging", "page_table_multiarch"];
    let mut lines = Vec::new();
    println!(
        "{:36}{:>10}{:>16}{:>22}",
        "instructions", engines[0], engines[1], engines[2]
    );
    for Case {
        name: case,
        operations,
        ..
    } in cases::<Ours>()
    {
        let mut figures = Vec::new();
        for engine in engines {
            let Some(cost) = cost(engine, case, "turn").zip(cost(engine, case, "empty")) else {
                eprintln!("valgrind did not count {engine} {case}: is it installed?");
                return ExitCode::FAILURE;
            };
            figures.push((cost.0 - cost.1) / operations as f64);
        }
        println!(
            "{case:36}{:>10.1}{:>16.1}{:>22.1}",
            figures[0], figures[1], figures[2]
        );
        let pairs = engines
            .iter()
            .zip(&figures)
            .map(|(e, n)| format!("\"{e}\": {n:.1}"));
        lines.push(format!(
            "      \"{case}\": {{ {} }}",
            pairs.collect::<Vec<_>>().join(", ")
        ));
    }
    let threads = threads();
    let json = format!(
        "{{\n  \"pgtable\": {{\n    \"instructions\": {{\n{}\n    }},\n    \"threads\": {threads}\n  }}\n}}\n",
        lines.join(",\n")
    );
    if let Some(path) = path
        && let Err(error) = std::fs::write(path, json)
    {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let [.., "--run", engine, case, what, turns] = args[..] {
        run(
            engine,
            case,
            what == "empty",
            turns.parse().expect("a number"),
        );
        return ExitCode::SUCCESS;
    }
    if args.contains(&"--threads") {
        threads();
        return ExitCode::SUCCESS;
    }
    let given = args
        .iter()
        .position(|arg| *arg == "--json")
        .and_then(|at| args.get(at + 1));
    let variable = std::env::var("PGTABLE_JSON").ok();
    report(given.copied().or(variable.as_deref()))
}
