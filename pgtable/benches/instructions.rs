//! Instructions per operation, counted by callgrind, of this crate and its
//! peers; and how two threads scale. Writes JSON to the path given by `--json`
//! or `PGTABLE_JSON`.
//!
//! Each case runs twice as its own process under callgrind, with different
//! numbers of turns: the difference is what the turns cost, without start-up.
//! What an empty turn costs is taken off: it is the loop's own.

mod engines;

use engines::multiarch::Multiarch;
use engines::ours::Ours;
use engines::paging::Paging;
use engines::{BLOCK, Engine, PAGE, REGION, Turn, cases, prepare};
use pgtable::{Attrs, Heap, Ipa, Pa};
use std::process::{Command, ExitCode};
use std::time::Instant;

const FEW: u64 = 100;
const MANY: u64 = 1100;

fn turns<E: Engine>(mut engine: E, case: &str, count: u64) {
    prepare(&mut engine);
    let all = cases::<E>();
    let nothing: Turn<E> = |_| ();
    let turn = match all.iter().find(|(name, ..)| *name == case) {
        Some((_, _, turn)) => *turn,
        None => nothing,
    };
    let turn = std::hint::black_box(turn);
    for _ in 0..count {
        turn(&mut engine);
    }
}

fn run(engine: &str, case: &str, count: u64) {
    match engine {
        "pgtable" => turns(Ours::new(), case, count),
        "aarch64-paging" => turns(Paging::new(), case, count),
        "page_table_multiarch" => turns(Multiarch::new(), case, count),
        other => panic!("no engine {other}"),
    }
}

/// Instructions of this program with the given turns.
fn count(engine: &str, case: &str, turns: u64) -> Option<u64> {
    let me = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["--run", engine, case, &turns.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("Collected"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Instructions of one turn.
fn cost(engine: &str, case: &str) -> Option<f64> {
    let (few, many) = count(engine, case, FEW).zip(count(engine, case, MANY))?;
    Some((many - few) as f64 / (MANY - FEW) as f64)
}

/// Turns per second of `threads`, each in a region of its own.
fn rate(threads: u64) -> f64 {
    const TURNS: u64 = 300_000;
    let ours = Ours::new();
    let table = &ours.0;
    let regions = |thread| REGION + thread * BLOCK;
    for thread in 0..threads {
        table
            .map(Ipa(regions(thread)), Pa(0), PAGE, Attrs::RAM)
            .unwrap();
    }
    // Timed by the threads themselves: whoever waits for them may be late.
    let gate = std::sync::Barrier::new(threads as usize);
    let work = |thread: u64| {
        let ipa = Ipa(regions(thread) + 8 * PAGE);
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

/// The best of several runs: others use this machine too.
fn scaling() -> (f64, f64) {
    let mut best: [f64; 2] = [0.0; 2];
    for _ in 0..10 {
        for (threads, best) in [1, 2].into_iter().zip(&mut best) {
            *best = best.max(rate(threads));
        }
    }
    (best[0], best[1])
}

fn report(path: Option<&str>) -> ExitCode {
    let engines = ["pgtable", "aarch64-paging", "page_table_multiarch"];
    let mut lines = Vec::new();
    println!(
        "{:36}{:>10}{:>16}{:>22}",
        "instructions", engines[0], engines[1], engines[2]
    );
    for (case, operations, _) in cases::<Ours>() {
        let mut figures = Vec::new();
        for engine in engines {
            let Some(cost) = cost(engine, case).zip(cost(engine, "nothing")) else {
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
    let (one, two) = scaling();
    println!("{:36}{:>10.2}x", "two threads, two regions", two / one);
    let json = format!(
        "{{\n  \"pgtable\": {{\n    \"instructions\": {{\n{}\n    }},\n    \"threads\": {{ \"one_per_s\": {one:.0}, \"two_per_s\": {two:.0}, \"ratio\": {:.2} }}\n  }}\n}}\n",
        lines.join(",\n"),
        two / one
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
    if let [.., "--run", engine, case, turns] = args[..] {
        run(engine, case, turns.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let given = args
        .iter()
        .position(|arg| *arg == "--json")
        .and_then(|at| args.get(at + 1));
    let variable = std::env::var("PGTABLE_JSON").ok();
    report(given.copied().or(variable.as_deref()))
}
