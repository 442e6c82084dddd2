//! `make shell`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match stagegate_tests::scenario::shell() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
