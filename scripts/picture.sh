#!/usr/bin/env bash
# Makes docs/console.png anew: the console in the middle of a rolling update, taken
# from a private stack of the release build.
. "$(dirname "$0")/need.sh"

export stack_cell_prefix=shop
exec "$root/scripts/test-browser.sh" --config picture.config.ts "$@"
