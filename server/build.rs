//! The console's files are embedded in the binary. A checkout where the console has not been built yet has none; then the
//! folder is made, so that the server compiles without it and says so to whoever opens the console.

use std::path::Path;

fn main() {
    let dist = Path::new("../web/dist");
    if let Err(error) = std::fs::create_dir_all(dist) {
        println!(
            "cargo::error=cannot make {}, which the console's files are embedded from: {error}",
            dist.display()
        );
    }
    println!("cargo::rerun-if-changed=../web/dist");
    println!("cargo::rerun-if-changed=build.rs");
}
