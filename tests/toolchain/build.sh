#!/usr/bin/env bash
# build.sh NAME PACKAGE...: builds the commands of the Go module in the folder NAME beside this script, once for each
# state of its go.sum, and says where they are. Tests look for them there and skip, saying so, where there is no Go.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=$1; shift
key=$(sha256sum "$here/$name/go.sum" | cut -c1-12)
out=${LTA_TOOLCHAIN:-$here/../../.cache/toolchain}/$name-$key
[ -e "$out/.complete" ] && exit 0
if ! command -v go > /dev/null; then
  echo "Go is not installed: the tests that need $name will be skipped" >&2
  exit 0
fi
mkdir -p "$out"
echo "building $name (some minutes, once)" >&2
CGO_ENABLED=0 go build -C "$here/$name" -trimpath -ldflags "-s -w" -o "$out/" "$@"
touch "$out/.complete"
