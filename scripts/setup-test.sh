#!/usr/bin/env bash
# All that the tests need. What a machine lacks is installed, or is a failure.
. "$(dirname "$0")/need.sh"

# Tests of signed commits make keys with both.
need_commands ssh-keygen=openssh-client gpg=gnupg
"$root/scripts/setup-build.sh"
"$root/scripts/setup-console.sh"
"$root/scripts/setup-docker.sh"
"$root/scripts/registry.sh" start
"$root/scripts/images.sh"
"$root/scripts/setup-browser.sh"
