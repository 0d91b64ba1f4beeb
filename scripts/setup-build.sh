#!/usr/bin/env bash
# What the build of the server needs: Rust, Node, Python and git, which the user
# brings, and a C compiler with OpenSSL's headers for libgit2 and libssh2.
. "$(dirname "$0")/need.sh"

absent=()
for command in cargo rustc node npm python3 git; do have "$command" || absent+=("$command"); done
if [ ${#absent[@]} != 0 ]; then
  die "not found on the PATH: ${absent[*]}" \
    "Rust:   https://rustup.rs" "Node:   https://nodejs.org (18 or newer, with npm)" \
    "others: apt-get install python3 git"
fi

# at_least WHAT HAVE WANT HOW
at_least() {
  [ "$(printf '%s\n%s\n' "$3" "$2" | sort -V | head -n 1)" = "$3" ] ||
    die "$1 $2 is too old, $3 or newer is needed" "$4"
}
at_least Rust "$(cd "$root" && rustc --version | cut -d ' ' -f 2)" \
  "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")" "rustup update stable"
at_least Node "$(node --version | tr -d v)" 18 "See https://nodejs.org"

missing=()
have cc || missing+=(gcc libc6-dev)
have pkg-config || missing+=(pkg-config)
have curl || missing+=(curl)
if ! have pkg-config || ! pkg-config --exists openssl; then missing+=(libssl-dev); fi
[ ${#missing[@]} = 0 ] || need_apt "${missing[@]}"
