#!/usr/bin/env bash
# build.sh NAME [COMMAND=]PACKAGE...: builds commands of the Go module in the folder NAME beside this script, once for
# each state of its go.sum. Tests look for them there and skip, saying so, where there is no Go. A file `ldflags` in
# the module's folder holds what its commands are linked with (their version); a file `tags`
# the build tags of its commands.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=$1; shift
key=$(sha256sum "$here/$name/go.sum" | cut -c1-12)
out=${LTA_TOOLCHAIN:-$here/../../.cache/toolchain}/$name-$key
mkdir -p "$out"
for package in "$@"; do
  command=$(basename "${package%%=*}")
  [ -x "$out/$command" ] && continue
  if ! type go > /dev/null 2>&1; then
    echo "Go is not installed: the tests that need $command will be skipped" >&2
    exit 0
  fi
  echo "building $command (some minutes, once)" >&2
  CGO_ENABLED=0 go build -C "$here/$name" -trimpath -ldflags "-s -w $(cat "$here/$name/ldflags" 2> /dev/null)" \
    -tags "$(cat "$here/$name/tags" 2> /dev/null)" -o "$out/.$command" "${package#*=}"
  mv "$out/.$command" "$out/$command"
done
