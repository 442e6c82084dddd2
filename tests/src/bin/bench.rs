//! `make bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match stagegate_tests::bench::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
