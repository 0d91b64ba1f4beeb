# Which compiler builds the console's wasm. Sourced after need.sh.

wasm_target=wasm32-unknown-unknown

# Prints `own` when the Rust that everything else is built with has the target,
# `debian` when Debian's toolchain for browsers is there instead, else nothing.
# MUSTER_WASM=debian asks for the second way where both would do.
wasm_route() {
  if [ "${MUSTER_WASM:-own}" = own ] &&
    compgen -G "$(rustc --print sysroot)/lib/rustlib/$wasm_target/lib/libstd-*.rlib" >/dev/null; then
    echo own
  elif [ -d /usr/src/rustc-"$(debian_rust_version)" ] && have wasm-ld-22 && [ -x /usr/bin/cargo ]; then
    echo debian
  fi
}

debian_rust_version() { /usr/bin/rustc --version 2>/dev/null | cut -d ' ' -f 2; }

wasm_bindgen_version() {
  awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print; exit }' "$root/Cargo.lock"
}

# The pinned wasm-opt. Debian 12's own is too old for what rustc writes today.
binaryen_version=132.0.0

wasm_bindgen=$tools/wasm-bindgen-$(wasm_bindgen_version)/bin/wasm-bindgen
wasm_opt=$tools/binaryen-$binaryen_version/node_modules/.bin/wasm-opt
