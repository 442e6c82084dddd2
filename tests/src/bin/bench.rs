//! `make bench`. With `smmu ENGINE STATE CASE SHAPE` one case of the SMMU
//! drivers, for callgrind; with `smmu` all of them; with `nvme` the disk's figures alone.

use stagegate_tests::bench::smmu;
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
        ["nvme"] => {
            println!("{:?}", stagegate_tests::bench::nvme::reads());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    match stagegate_tests::bench::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
