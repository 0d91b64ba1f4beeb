# Shared words of the set-up scripts. Sourced, never run.
#
# A script says what it needs with `need_command` and `need_apt`; what is there
# costs a lookup, what is missing is installed where we may (root on a Debian or
# Ubuntu) and otherwise named, with the command that would install it.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${MUSTER_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/muster/tools}

# Where rustup puts Rust and Debian the daemons, also for shells that do not say so.
PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:/usr/sbin:/sbin

# An absolute MUSTER_HOME, whatever directory the caller stands in.
MUSTER_HOME=${MUSTER_HOME:-$root/.muster}
case $MUSTER_HOME in /*) ;; *) MUSTER_HOME=$PWD/$MUSTER_HOME ;; esac
MUSTER_LISTEN=${MUSTER_LISTEN:-127.0.0.1:7400}
MUSTER_REGISTRY_LISTEN=${MUSTER_REGISTRY_LISTEN:-127.0.0.1:5000}
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
export MUSTER_HOME MUSTER_LISTEN MUSTER_REGISTRY_LISTEN

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' dim='' red='' plain=''
fi

say() { printf '%s\n' "${dim}muster:${plain} $*" >&2; }
warn() { printf '%s\n' "${bold}muster: note:${plain} $*" >&2; }

# die WHAT [LINE...]: what happened, then what to do about it.
die() {
  printf '%s\n' "${red}muster: error:${plain} $1" >&2
  shift
  local line
  for line in "$@"; do printf '        %s\n' "$line" >&2; done
  exit 1
}

have() { type -P "$1" >/dev/null; }

# May this run install packages of the system? MUSTER_INSTALL=no forbids it.
may_install() { [ "${MUSTER_INSTALL:-yes}" != no ] && [ "$(id -u)" = 0 ] && have apt-get; }

why_not_install() {
  if [ "${MUSTER_INSTALL:-yes}" = no ]; then echo "MUSTER_INSTALL=no is set"
  elif ! have apt-get; then echo "this system has no apt-get"
  else echo "this is not root"; fi
}

# long LABEL COMMAND...: run a long step, with its output in a log and signs of
# life on the screen; the end of the log is shown when it fails.
long() {
  local label=$1 log began=$SECONDS pid code=0 shown=0
  shift
  mkdir -p "$MUSTER_HOME/log"
  log=$MUSTER_HOME/log/setup-$(printf '%s' "${label%%:*}" | tr -cs 'A-Za-z0-9' '-').log
  say "$label …"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # The step dies with us; a half-done install would otherwise go on unseen.
  trap 'kill "$pid" 2>/dev/null || true; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    local spent=$((SECONDS - began))
    if [ -t 2 ] && [ -n "$dim" ]; then
      printf '\r\e[K%s        %4d s  %s%s' "$dim" "$spent" \
        "$(tail -c 300 "$log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | cut -c 1-60 || true)" "$plain" >&2
    elif [ $((spent / 30)) -gt "$shown" ]; then
      shown=$((spent / 30))
      say "  … $spent s"
    fi
  done
  wait "$pid" || code=$?
  trap - INT TERM
  [ -z "$dim" ] || printf '\r\e[K' >&2
  if [ "$code" != 0 ]; then
    tail -n 40 "$log" >&2
    die "$label: failed with exit code $code" "The whole output is in $log"
  fi
  local spent=$((SECONDS - began))
  [ "$spent" -lt 2 ] || say "  done in $spent s"
}

apt_fetch_lists() {
  # Once per run of the set-up, also across its scripts, and only when needed.
  local stamp=$MUSTER_HOME/log/apt-lists
  if [ -n "$(find "$stamp" -mmin -60 2>/dev/null)" ]; then return; fi
  long "apt-get update" apt-get -o Acquire::Retries=3 update
  touch "$stamp"
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
    install -y --no-install-recommends "$@"
}

# need_apt PACKAGE...: the packages, installed now.
need_apt() {
  if ! may_install; then
    die "missing on this machine, and $(why_not_install): $*" \
      "On Debian or Ubuntu, as root:  apt-get install $*" \
      "Elsewhere install what these packages hold, then run the same command again."
  fi
  apt_fetch_lists
  long "apt-get install $*" apt_install "$@"
}

# need_commands COMMAND=PACKAGE...: all that are missing, in one apt-get.
need_commands() {
  local pair missing=()
  for pair in "$@"; do have "${pair%%=*}" || missing+=("${pair#*=}"); done
  [ ${#missing[@]} = 0 ] || need_apt "${missing[@]}"
  for pair in "$@"; do
    have "${pair%%=*}" || die "the package ${pair#*=} brought no command \`${pair%%=*}\`"
  done
}

# need_from_deb PACKAGE FILE: prints the path of FILE taken out of a package that
# is not installed. For programs whose package would start a service
# (docker-registry) or displace another package (busybox-static).
need_from_deb() {
  local package=$1 file=$2 place=$tools/deb/$1
  if [ ! -x "$place/$file" ]; then
    have apt-get && have dpkg-deb || die "missing on this machine: ${file##*/}" \
      "It comes with Debian's package $package; install it by hand and put it on the PATH."
    rm -rf "$place"
    mkdir -p "$place"
    # apt-get download needs no root, lists that name the package are enough.
    if ! apt-cache show "$package" >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then apt_fetch_lists; fi
    deb_download() { cd "$place" && apt-get -o Acquire::Retries=3 download "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb; }
    if ! (long "fetching $package" deb_download) && [ "$(id -u)" = 0 ]; then
      # Lists older than the mirror name versions that are gone.
      apt_fetch_lists
      long "fetching $package again" deb_download
    fi
    [ -x "$place/$file" ] || die "the package $package holds no $file"
  fi
  printf '%s\n' "$place/$file"
}

# alive PIDFILE NAME: is the process in the file alive, and still that program?
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -- "$2"
}

# wait_for SECONDS COMMAND...: true as soon as the command is.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}
