//! The thin binary around the library.

use std::process::ExitCode;

/// The system's allocator costs a busy proxy several per cent of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate::cli::main()
}
