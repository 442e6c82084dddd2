//! Runs cases of the bare-metal guest by hand.
//!
//! Usage: `guest CASES [--bare] [--device] [--gic 2|3] [--icount N]`, for example
//! `guest psci,gic --bare --gic 2` or `guest bad-read-nowhere`.

use stagegate_tests::machine::{Board, Machine};
use stagegate_tests::{Result, cases, paths};
use std::process::ExitCode;

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let cases = args.first().ok_or("which cases?")?;
    let value = |name: &str| args.iter().skip_while(|a| *a != name).nth(1);
    let board = match value("--gic").map(String::as_str) {
        Some("2") => Board::VirtGicV2,
        _ => Board::VirtGicV3,
    };
    let dir = paths::fresh_dir("guest")?;
    let mut running = if args.iter().any(|a| a == "--bare") {
        cases::start_bare(board, cases, &dir)?
    } else {
        let mut machine = Machine::virt(cases::CPUS + 1, 1024);
        machine.board = board;
        machine.icount = value("--icount").and_then(|n| n.parse().ok());
        if args.iter().any(|a| a == "--device") {
            cases::start_with_device(machine, cases::CPUS, cases, &dir)?
        } else {
            cases::start_hosted(machine, cases, &dir)?
        }
    };
    let verdicts = cases::listen(&mut running);
    for line in running.console.seen() {
        println!("{}", line.text);
    }
    if !verdicts.done {
        // It hangs: where are the CPUs?
        println!("{}", running.qmp.human("info registers -a")?);
    }
    verdicts.all_passed()
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
