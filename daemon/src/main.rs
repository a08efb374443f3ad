//! The `quorate` program.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    quorate::command::main(env::args_os())
}
