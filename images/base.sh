#!/usr/bin/env bash
# base.sh IMAGE: a base image from Debian's packages alone, for machines that reach a Debian mirror and no registry.
# Needs root, debootstrap and buildah. MIRROR and SUITE choose other packages; the suite must have Python 3.11.
set -euo pipefail
image=$1
type -P debootstrap > /dev/null || { echo "install debootstrap, which makes the base image" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip "${SUITE:-bookworm}" "$folder" \
  "${MIRROR:-http://deb.debian.org/debian}" >&2
rm -rf "$folder"/var/lib/apt/lists/* "$folder"/var/cache/apt/*.bin "$folder"/var/cache/apt/archives/*.deb \
  "$folder"/var/log/*.log "$folder"/usr/share/{man,info,locale}/*
container=$(buildah from scratch)
buildah add --quiet "$container" "$folder" / > /dev/null
buildah commit --quiet --rm "$container" "$image" > /dev/null
