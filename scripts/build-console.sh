#!/usr/bin/env bash
# The console: web/ compiled to wasm, bound, shrunk, named by content and
# compressed into web/dist/, which the server embeds. Does nothing when nothing
# that goes into it has changed.
. "$(dirname "$0")/need.sh"
. "$(dirname "$0")/wasm.sh"

cd "$root"
[ -f web/index.html ] || die "web/index.html is missing: the console has no page to start from"

made_of() {
  {
    echo "$(wasm_route) $(wasm_bindgen_version) $binaryen_version"
    find web schemas Cargo.toml Cargo.lock scripts/build-console.sh scripts/pack-console.mjs scripts/wasm.sh \
      \( -path web/dist -o -path schemas/json -o -path '*/tests' \) -prune -o \
      -type f ! -name '*.made-of' ! -name '*.snap' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum | cut -d ' ' -f 1
}
stamp=web/dist.made-of
if [ "$(cat $stamp 2>/dev/null)" = "$(made_of)" ] && [ -f web/dist/index.html ]; then exit 0; fi

"$(dirname "$0")/setup-console.sh"
route=$(wasm_route)
say "building the console"
# A target directory of its own: other features, another target, another lock.
build=$target/web
arguments=(build -p muster-web --profile web --target "$wasm_target" --target-dir "$build")
case $route in
  own) cargo "${arguments[@]}" ;;
  debian)
    # -Z flags on a stable compiler: building std from Debian's sources needs one.
    env -u RUSTUP_TOOLCHAIN RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22 \
      /usr/bin/cargo -Zbuild-std=std,panic_abort "${arguments[@]}"
    ;;
  *) die "no way to compile for $wasm_target" "Run scripts/setup-console.sh to see why." ;;
esac

bound=$build/bound
rm -rf "$bound"
"$wasm_bindgen" --target web --no-typescript --out-dir "$bound" "$build/$wasm_target/web/muster-web.wasm"
# The features that rustc turns on by itself; wasm-opt wants them said.
"$wasm_opt" -Oz --enable-bulk-memory --enable-mutable-globals --enable-multivalue \
  --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext \
  --strip-debug --strip-producers --strip-target-features \
  "$bound/muster-web_bg.wasm" -o "$bound/muster-web_bg.wasm"
node scripts/pack-console.mjs "$bound" web web/dist
# Only now: the set-up may have brought a way to compile that was not there before.
made_of >$stamp
