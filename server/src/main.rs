//! The `muster` binary: all of it is in the library.

fn main() -> std::process::ExitCode {
    muster::cli::main()
}
