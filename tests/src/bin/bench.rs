//! `make bench`. With `smmu ENGINE STATE CASE SHAPE` one case of the SMMU
//! drivers, for callgrind; with `smmu` all of them; with `nvme`, `boot`, `power`,
//! `traps` or `size` those figures alone.

use stagegate_tests::bench::{self, smmu};
use std::fmt::Debug;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["smmu", engine, state, case, shape] => {
            smmu::run(engine, state, case, shape);
            return ExitCode::SUCCESS;
        }
        ["smmu"] => {
            smmu::figures();
            return ExitCode::SUCCESS;
        }
        ["nvme"] => return alone(bench::nvme::reads()),
        ["boot"] => return alone(bench::boot()),
        ["traps"] => return alone(bench::traps()),
        ["power"] => return alone(bench::power::figures()),
        ["size"] => return end(bench::size()),
        _ => {}
    }
    end(bench::run())
}

fn alone<T: Debug>(figures: stagegate_tests::Result<T>) -> ExitCode {
    end(figures.map(|figures| println!("{figures:#?}")))
}

fn end(result: stagegate_tests::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
