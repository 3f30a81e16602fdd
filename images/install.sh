#!/bin/sh
# Installs into the image's /opt/lta with uv, from the pins.
#   install.sh [--extra NAME]...        the distribution's dependencies, with those of extras
#   install.sh --only [--no-deps] NAME  one pinned package
#   install.sh --code SOURCE TARGET     our own distribution, without dependencies, as a tree of its own
# Secrets of the build, where they are given: `ca` (authorities the indexes are signed by), `pip` (a pip.conf that names
# other indexes). Neither leaves a trace in the image.
set -eu
if [ -f /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca; fi
if [ -f /run/secrets/pip ]; then
  export PIP_CONFIG_FILE=/run/secrets/pip
  if index=$(python3 -m pip config get global.index-url); then export UV_DEFAULT_INDEX="$index"; fi
  if more=$(python3 -m pip config get global.extra-index-url); then export UV_INDEX="$more"; fi
fi
# Compiled now: at run time there is nowhere to keep it, and every start would compile anew. By the source's hash, which
# nobody checks, instead of its time, which an image need not keep.
export UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
export UV_NO_CACHE=1 UV_HTTP_TIMEOUT=180 UV_PYTHON=/opt/lta/bin/python
cd /opt/lta/build
case " $* " in *" vllm "*) pins=constraints-vllm.txt ;; *) pins=constraints.txt ;; esac
install() { /opt/uv/bin/uv pip install --quiet --constraint "$pins" "$@"; }
case "${1:-}" in
  --code) install --no-deps --prefix "$3" "$2" ;;
  --only) shift; install "$@" ;;
  *) install --requirement pyproject.toml "$@" ;;
esac
