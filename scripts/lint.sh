#!/usr/bin/env bash
# Formatting, and clippy with warnings denied. The console is checked for this
# machine rather than for wasm: the same code, and no second target to compile.
. "$(dirname "$0")/need.sh"

cd "$root"
"$root/scripts/setup-build.sh"
cargo fmt --all --check || die "the code is not formatted" "make fmt"
# Apart from each other, so that the console's features of shared dependencies do
# not have the server's compiled twice.
cargo clippy --workspace --exclude muster-web --all-targets -- -D warnings
cargo clippy -p muster-web --all-targets -- -D warnings
