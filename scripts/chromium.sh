# Which Chromium the browser tests use. Sourced after need.sh.

# Prints its path; nothing when there is none.
find_chromium() {
  if [ -n "${MUSTER_CHROMIUM:-}" ]; then
    printf '%s\n' "$MUSTER_CHROMIUM"
    return
  fi
  local name
  for name in chromium google-chrome-stable google-chrome; do
    if have "$name"; then type -P "$name"; return; fi
  done
  # Playwright's own download.
  compgen -G "${HOME:-/root}/.cache/ms-playwright/chromium-*/chrome-linux*/chrome" | sort -V | tail -n 1
}
