#!/usr/bin/env bash
# docker-watch.sh LOG [FLAGS...]: starts dockerd and keeps an eye on it: one that
# runs and answers nothing any more is killed and started again. Docker 20.10, which
# Debian 12 has, can lock itself up for good when several containers end at once (two
# parts of its network code wait for each other). Containers do not notice: they run
# on, since the engine runs with live-restore. An engine that ends by itself, or that
# somebody ends, is not started again.
set -u
log=$1
shift

# `docker version` is answered by an engine that is locked up, `docker info` is not.
answers() { timeout 20 docker info >/dev/null 2>&1; }

start() {
  rm -f /var/run/docker.pid
  dockerd "$@" >>"$log" 2>&1 </dev/null &
  engine=$!
}

start "$@"
missed=0
while sleep 5; do
  kill -0 "$engine" 2>/dev/null || { wait "$engine"; exit; }
  # A start can take long, and a busy machine is no reason: it has to miss three in a row.
  if answers; then missed=0; else missed=$((missed + 1)); fi
  [ "$missed" -lt 3 ] && continue
  # Gone meanwhile: that is somebody's wish.
  kill -0 "$engine" 2>/dev/null || { wait "$engine"; exit; }
  echo "docker-watch: the engine has answered nothing for a minute; its stacks are in /var/run/docker; starting it again" >>"$log"
  kill -USR1 "$engine" && sleep 2
  kill -KILL "$engine"
  wait "$engine"
  missed=0
  start "$@"
done
