//! `make run`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match stagegate_tests::scenario::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            println!("scenario: fail");
            ExitCode::FAILURE
        }
    }
}
