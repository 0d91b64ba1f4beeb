#!/usr/bin/env bash
# What the build of the console needs beside setup-build.sh: a standard library
# for wasm, the wasm-bindgen of exactly the locked version, and wasm-opt.
. "$(dirname "$0")/need.sh"
. "$(dirname "$0")/wasm.sh"

cd "$root"
if [ -z "$(wasm_route)" ] && [ "${MUSTER_WASM:-own}" = own ] && have rustup; then
  # Where rustup's server cannot be reached there is a second way below.
  say "rustup target add $wasm_target"
  timeout 300 rustup target add "$wasm_target" >&2 || warn "rustup could not add it"
fi
if [ -z "$(wasm_route)" ]; then
  say "taking Debian's own Rust for $wasm_target instead"
  need_apt rustc-web cargo-web rust-web-src lld-22
  [ -n "$(wasm_route)" ] || die "no way to compile for $wasm_target" \
    "With rustup:            rustup target add $wasm_target" \
    "With Debian or Ubuntu:  apt-get install rustc-web cargo-web rust-web-src lld-22"
fi

if [ ! -x "$wasm_bindgen" ]; then
  version=$(wasm_bindgen_version)
  # Barely optimised: it runs for a second and would compile for minutes. Its own
  # lock file comes first; a mirror that lags behind may not have all of it yet.
  install_wasm_bindgen() {
    local locked
    for locked in --locked ''; do
      env -u CARGO_TARGET_DIR -u RUSTFLAGS CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=false \
        cargo install wasm-bindgen-cli --version "=$version" $locked --bin wasm-bindgen \
        --root "$tools/wasm-bindgen-$version" && return
    done
    return 1
  }
  long "cargo install wasm-bindgen-cli $version: two minutes or so" install_wasm_bindgen
fi

if [ ! -x "$wasm_opt" ]; then
  install_binaryen() {
    npm install --no-audit --no-fund --prefix "$tools/binaryen-$binaryen_version" "binaryen@$binaryen_version"
  }
  long "npm install binaryen $binaryen_version (wasm-opt)" install_binaryen
fi
