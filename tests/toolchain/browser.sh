#!/usr/bin/env bash
# Installs Debian's Chromium for the tests of the review page, unless a browser is there. Where that is not possible it
# says so and succeeds, since those tests are then skipped.
set -euo pipefail
for name in chromium chromium-browser google-chrome chrome; do
  if command -v "$name" > /dev/null; then exit 0; fi
done
cannot() {
  echo "browser: $1; the tests of the review page in a browser will be skipped" >&2
  exit 0
}
command -v apt-get > /dev/null || cannot "there is no apt-get to install Chromium with"
[ "$(id -u)" = 0 ] || cannot "only root can install Chromium (apt-get install chromium fonts-dejavu-core)"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || cannot "apt-get update failed"
apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core > /dev/null || cannot "Chromium could not be installed"
