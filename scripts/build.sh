#!/usr/bin/env bash
# The release binary, with the console embedded.
. "$(dirname "$0")/need.sh"

cd "$root"
"$root/scripts/setup-build.sh"
"$root/scripts/build-console.sh"
if [ ! -x "$target/release/muster" ]; then say "building the server (the first time takes minutes)"; fi
cargo build --release -p muster
