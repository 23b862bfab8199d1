//! The program: everything is in the library; here errors only become exit codes.

use gocdnext_flow::{cli, config::environment::Process};
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::start(std::env::args_os(), &Process, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code())
        }
    }
}
