//! The `quorate` program.

use std::env;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// Gives memory back to the machine once it is free for some seconds. What glibc takes for a flood of requests it keeps.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    quorate::command::main(env::args_os())
}
