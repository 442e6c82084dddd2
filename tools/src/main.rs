//! `stagegate`: see [`stagegate::command`].
use clap::Parser;
use stagegate::command::{Arguments, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    match run(&Arguments::parse(), &mut out) {
        Ok(code) => code,
        Err(error) => {
            let (status, tell) = error.status();
            if tell {
                eprintln!("stagegate: {error}");
            }
            ExitCode::from(status)
        }
    }
}
