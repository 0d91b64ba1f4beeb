#!/usr/bin/env bash
# Stops what `make up` runs: every task by a stop order, then the registry if it
# is ours. The Docker engine goes on.
. "$(dirname "$0")/need.sh"

cd "$root"
code=0
if [ -x "$target/release/muster" ] && [ -d "$MUSTER_HOME/serve" ]; then
  "$target/release/muster" down "$@" || code=$?
else
  say "nothing was ever up in $MUSTER_HOME"
fi
# Tasks that could not be stopped may yet need their images.
[ "$code" != 0 ] || "$root/scripts/registry.sh" stop
exit "$code"
