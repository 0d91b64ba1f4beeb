#!/usr/bin/env bash
# A Docker engine that answers. Uses the one that runs; else starts the one that
# is installed; else installs Debian's.
. "$(dirname "$0")/need.sh"

answers() { docker version --format '{{.Server.APIVersion}}'; }
if have docker && answers >/dev/null 2>&1; then exit 0; fi

if [ -n "${DOCKER_HOST:-}" ]; then
  have docker || die "DOCKER_HOST is set and there is no docker command to reach it with"
  die "no engine answers at DOCKER_HOST=$DOCKER_HOST" "$(docker version 2>&1 | tail -n 1)" \
    "Start it, or unset DOCKER_HOST to use the engine of this machine."
fi

# The engine writes rules through iptables and does not start without it. Debian
# 13 moved the client into a package of its own.
if ! have dockerd; then need_apt docker.io iptables; fi
have docker || need_apt docker-cli
need_commands dockerd=docker.io iptables=iptables
wait_for 2 answers && exit 0

if [ "$(id -u)" != 0 ]; then
  denied=$(docker version 2>&1 | grep -i 'permission denied' || true)
  if [ -n "$denied" ]; then
    die "the Docker engine runs but this user may not use it" \
      "As root:  usermod -aG docker $(id -un)   and log in again."
  fi
  die "the Docker engine is not running, and only root can start it" \
    "As root:  systemctl start docker    (or:  dockerd --live-restore)"
fi

if [ -d /run/systemd/system ]; then
  long "starting the Docker engine" systemctl start docker
  wait_for 60 answers || die "docker.service is started and does not answer" \
    "See:  journalctl -u docker -n 50"
  exit 0
fi

# No init system (a container, a CI runner): start it by hand. With live-restore,
# containers outlive a restart of the engine, as Muster promises its users.
flags=()
grep -qs '"live-restore"' /etc/docker/daemon.json || flags+=(--live-restore)
log=/var/log/muster-dockerd.log
# A pid file of an engine that was killed keeps a new one from starting.
if [ -e /var/run/docker.pid ] && ! alive /var/run/docker.pid dockerd; then rm -f /var/run/docker.pid; fi
say "starting the Docker engine (log: $log)"
ulimit -n 1048576 2>/dev/null || true
setsid "$root/scripts/docker-watch.sh" "$log" "${flags[@]}" >>"$log" 2>&1 </dev/null &
started=$!
answers_or_dead() { answers || ! kill -0 "$started"; }
wait_for 60 answers_or_dead || true
answers >/dev/null 2>&1 && exit 0
tail -n 15 "$log" >&2
die "the Docker engine did not start" "Its log is $log; common reasons: a kernel without overlayfs or iptables," \
  "no cgroup mounts (on an old kernel: apt-get install cgroupfs-mount), or a container without --privileged."
