#!/usr/bin/env bash
# bench-push.sh [ROUNDS]: how long from `git push` to a running container, with
# the image present. Builds nothing; see bench.sh.
. "$(dirname "$0")/need.sh"
. "$(dirname "$0")/stack.sh"

[ -x "$target/release/muster" ] || die "no release build" "make build"
"$root/scripts/setup-docker.sh"
for image in web:1 web:2; do docker pull -q "$MUSTER_REGISTRY_LISTEN/example/$image" >/dev/null; done
start_stack "$target/release/muster"
python3 "$root/scripts/bench-push.py" "${1:-20}"
