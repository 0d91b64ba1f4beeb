#!/usr/bin/env bash
# registry.sh start|stop|status: an image registry of our own on the loopback
# interface, with its images under $MUSTER_HOME/registry. One that already
# answers at MUSTER_REGISTRY_LISTEN is used as it is, and is not ours to stop.
. "$(dirname "$0")/need.sh"

home=$MUSTER_HOME/registry
pidfile=$home/pid
answers() { curl -fsS --max-time 2 "http://$MUSTER_REGISTRY_LISTEN/v2/"; }

start() {
  need_commands curl=curl
  if answers >/dev/null 2>&1; then return; fi
  if (exec 3<>"/dev/tcp/${MUSTER_REGISTRY_LISTEN%:*}/${MUSTER_REGISTRY_LISTEN##*:}") 2>/dev/null; then
    die "something that is not an image registry listens on $MUSTER_REGISTRY_LISTEN" \
      "Give Muster another port:  MUSTER_REGISTRY_LISTEN=127.0.0.1:5001 make up"
  fi
  # The installed one or the file out of the package: never its service, which
  # would listen on every interface.
  local program
  program=$(type -P docker-registry) || program=$(need_from_deb docker-registry usr/bin/docker-registry)
  mkdir -p "$home/data"
  cat >"$home/config.yml" <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $home/data}
  delete: {enabled: true}
http: {addr: "$MUSTER_REGISTRY_LISTEN"}
YAML
  say "starting an image registry on $MUSTER_REGISTRY_LISTEN (log: $home/log)"
  setsid "$program" serve "$home/config.yml" >>"$home/log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  wait_for 15 answers || {
    tail -n 10 "$home/log" >&2
    die "the image registry did not start" "Its log is $home/log"
  }
}

stop() {
  if alive "$pidfile" "$home/config.yml"; then
    local pid
    pid=$(cat "$pidfile")
    kill "$pid"
    gone() { ! kill -0 "$pid"; }
    wait_for 5 gone || kill -9 "$pid"
    say "stopped the image registry on $MUSTER_REGISTRY_LISTEN"
  fi
  rm -f "$pidfile"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  status) answers >/dev/null 2>&1 && echo "answers on $MUSTER_REGISTRY_LISTEN" ;;
  *) die "usage: registry.sh start|stop|status" ;;
esac
