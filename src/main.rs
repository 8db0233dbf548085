//! The binary: parse, call `cli`, exit code.

fn main() -> touchstone::cli::Exit {
    touchstone::cli::main()
}
