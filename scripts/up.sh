#!/usr/bin/env bash
# The embedded stack in the foreground: what it needs is set up and started, then
# `muster up` takes this process's place. The Docker engine and the registry were
# there before it and stay after it.
. "$(dirname "$0")/need.sh"

cd "$root"
"$root/scripts/setup-docker.sh"
"$root/scripts/registry.sh" start
"$root/scripts/images.sh"
"$root/scripts/build.sh"

export MUSTER_REGISTRY=$MUSTER_REGISTRY_LISTEN
exec "$target/release/muster" up "$@"
