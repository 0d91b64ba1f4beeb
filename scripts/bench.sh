#!/usr/bin/env bash
# bench.sh [ROUNDS]: the core's decisions by `cargo bench`, a large repository to a plan, then push to running
# against a private stack, through git and the public API alone.
. "$(dirname "$0")/need.sh"
. "$(dirname "$0")/stack.sh"

cd "$root"
"$root/scripts/setup-docker.sh"
"$root/scripts/registry.sh" start
"$root/scripts/images.sh"
"$root/scripts/build.sh"
if compgen -G 'server/core/benches/*.rs' >/dev/null; then cargo bench -p muster-core --benches; fi
cargo run --release -q -p muster --example repository_figures
for mix in mixed plain service; do "$target/release/muster" bench schedule --mix "$mix"; done
"$root/scripts/bench-push.sh" "$@"
