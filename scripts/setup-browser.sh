#!/usr/bin/env bash
# Playwright and a Chromium for the browser tests. Prints nothing when all is there.
. "$(dirname "$0")/need.sh"
. "$(dirname "$0")/chromium.sh"

if [ -z "$(find_chromium)" ] && have apt-get && [ -n "$(apt-cache policy chromium 2>/dev/null | grep 'Candidate: [0-9]')" ]; then
  need_apt chromium
fi

cd "$root/playwright"
wanted=$(cat package.json package-lock.json | sha256sum)
if [ "$(cat node_modules/.made-of 2>/dev/null)" != "$wanted" ]; then
  install_playwright() { PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund; }
  long "npm ci in playwright/" install_playwright
  echo "$wanted" >node_modules/.made-of
fi

if [ -z "$(find_chromium)" ]; then
  # Ubuntu has Chromium as a snap only, which does not run everywhere.
  download_chromium() { npx playwright install --with-deps chromium; }
  if may_install; then long "npx playwright install chromium" download_chromium; fi
  [ -n "$(find_chromium)" ] || die "no Chromium for the browser tests" \
    "As root:  apt-get install chromium   (Debian), or: cd playwright && npx playwright install --with-deps chromium" \
    "or name one:  MUSTER_CHROMIUM=/path/to/chromium make test"
fi
