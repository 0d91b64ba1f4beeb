#!/usr/bin/env bash
# Everything that tells whether this checkout is good, from a bare machine on.
# Stops at the first part that fails; ends with one line of counts.
. "$(dirname "$0")/need.sh"

cd "$root"
began=$SECONDS
logs=$MUSTER_HOME/log/test
rm -rf "$logs"
mkdir -p "$logs"
passed=0 failed=0 ignored=0 done_steps=()

# Counts of the test programs' own last lines: cargo's, then Playwright's.
count() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk -v what="$2" '
    /^test result: / { for (i = 2; i <= NF; i++) if (index($i, what) == 1) sum += $(i - 1) }
    $0 ~ "^ +[0-9]+ " what "( |$)" { sum += $1 }
    END { print sum + 0 }'
}

# step SECONDS LABEL COMMAND...: one part, at most so many seconds: a test that
# hangs is a failure too.
step() {
  local limit=$1 label=$2 at=$SECONDS code=0 log
  shift 2
  log=$logs/$(printf '%s' "$label" | tr -cs 'A-Za-z0-9' '-').log
  printf '\n%s\n' "${bold}== $label${plain}"
  # `timeout` makes a process group of its own, which Ctrl-C does not reach.
  (
    trap 'kill -TERM "$pid" 2>/dev/null; wait "$pid"; exit 130' INT TERM
    timeout --kill-after=30 "$limit" "$@" </dev/null &
    pid=$!
    wait "$pid"
  ) 2>&1 | tee -i "$log" || code=$?
  passed=$((passed + $(count "$log" passed)))
  failed=$((failed + $(count "$log" failed)))
  ignored=$((ignored + $(count "$log" ignored) + $(count "$log" skipped)))
  done_steps+=("$(printf '%5d s  %s' $((SECONDS - at)) "$label")")
  if [ "$code" != 0 ]; then
    [ "$code" != 124 ] || warn "$label: not done after $limit s"
    summary
    die "make test failed in: $label (exit code $code)" "The output of this part is in $log"
  fi
}

summary() {
  printf '\n%s\n' "${bold}== summary${plain}"
  printf '%s\n' "${done_steps[@]}"
  printf '%5d s  altogether\n' $((SECONDS - began))
  printf '%d passed, %d failed, %d ignored\n' "$passed" "$failed" "$ignored"
}

if [ -n "$bold" ]; then export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}; fi

step 1800 "set-up" "$root/scripts/setup-test.sh"
export MUSTER_TEST_REGISTRY=$MUSTER_REGISTRY_LISTEN
step 1800 "lint" "$root/scripts/lint.sh"
step 1800 "console" "$root/scripts/build-console.sh"
step 2400 "Rust tests" cargo test --workspace --exclude muster-web --no-fail-fast
step 1200 "console's Rust tests" cargo test -p muster-web --no-fail-fast
step 1800 "release build" "$root/scripts/build.sh"
step 1200 "browser tests" "$root/scripts/test-browser.sh"

# A run that counted nothing tested nothing.
[ "$passed" -gt 0 ] || failed=1
summary
[ "$failed" = 0 ]
