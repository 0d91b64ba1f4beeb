#!/usr/bin/env bash
# test-browser.sh [PLAYWRIGHT ARGUMENT...]: the browser tests, against the release
# build, that which users run, in a private stack of its own.
. "$(dirname "$0")/need.sh"
. "$(dirname "$0")/chromium.sh"
. "$(dirname "$0")/stack.sh"

cd "$root"
"$root/scripts/setup-browser.sh"
"$root/scripts/setup-docker.sh"
"$root/scripts/registry.sh" start
"$root/scripts/images.sh"
"$root/scripts/build.sh"

MUSTER_CHROMIUM=$(find_chromium)
export MUSTER_CHROMIUM
start_stack "$target/release/muster"
cd "$root/playwright"
npx playwright test "$@"
