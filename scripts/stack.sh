# A private embedded stack for tests and benchmarks: a home, ports and a cell of
# its own, so that it gets along with a `make up` on the same machine. Sourced
# after need.sh; needs Docker and the registry.

# start_stack BINARY: exports MUSTER_HOME and what $MUSTER_HOME/env says.
start_stack() {
  stack_binary=$1
  # For tests of the command line beside the stack.
  export MUSTER_BINARY=$stack_binary
  # A shell that sourced the env file of a `make up` must not point us at that one.
  unset MUSTER_URL MUSTER_TOKEN MUSTER_REPO
  local ports
  ports=$(python3 -c 'import socket
held = [socket.socket() for _ in range(2)]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))')
  MUSTER_HOME=$(mktemp -d "${TMPDIR:-/tmp}/muster-stack-XXXXXX")
  export MUSTER_HOME
  export MUSTER_LISTEN=127.0.0.1:${ports% *} MUSTER_AGENT_LISTEN=127.0.0.1:${ports#* }
  export MUSTER_REGISTRY=$MUSTER_REGISTRY_LISTEN
  export MUSTER_CELL=${stack_cell_prefix:-private}-${MUSTER_HOME##*-}
  MUSTER_CELL=$(printf '%s' "$MUSTER_CELL" | tr 'A-Z' 'a-z')
  stack_log=$MUSTER_HOME/up.log

  (cd "$root" && exec "$stack_binary" up) >"$stack_log" 2>&1 </dev/null &
  stack_pid=$!
  trap stop_stack EXIT
  stack_ready() {
    ! kill -0 "$stack_pid" 2>/dev/null ||
      { [ -s "$MUSTER_HOME/env" ] && curl -fsS --max-time 2 "http://$MUSTER_LISTEN/readyz"; }
  }
  wait_for 60 stack_ready || true
  if ! kill -0 "$stack_pid" 2>/dev/null || ! stack_ready >/dev/null 2>&1; then
    tail -n 40 "$stack_log" >&2
    die "the stack did not get ready" "Its log is $stack_log"
  fi
  set -a
  . "$MUSTER_HOME/env"
  set +a
}

# stop_stack: stops its tasks, then its processes, and removes its home; keeps
# the home when the caller failed, since its logs tell why.
stop_stack() {
  local code=$?
  trap - EXIT
  if kill -0 "$stack_pid" 2>/dev/null; then
    timeout 120 "$stack_binary" down >>"$stack_log" 2>&1 || warn "muster down failed; see $stack_log"
  fi
  kill -TERM "$stack_pid" 2>/dev/null || true
  stack_gone() { ! kill -0 "$stack_pid"; }
  wait_for 20 stack_gone || kill -KILL "$stack_pid" 2>/dev/null || true
  # Its containers, and no others: the cell is of this run alone.
  local left
  left=$(docker ps -aq --filter "label=muster.cell=$MUSTER_CELL")
  [ -z "$left" ] || docker rm -f $left >/dev/null
  if [ "$code" = 0 ]; then rm -rf "$MUSTER_HOME"; else say "kept for a look: $MUSTER_HOME (log: $stack_log)"; fi
  exit "$code"
}
