#!/usr/bin/env bash
# Find a `docker-registry` for the tests, and print its path: this machine's own, or else the program of Debian's package in
# the cache.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/debian.sh
source "$here/debian.sh"
readonly release=trixie
readonly cached=${XDG_CACHE_HOME:-$HOME/.cache}/bench-action-tests/registry-$release

fail() {
  printf '%s\n' "registry: $*" >&2
  exit 1
}

# The file gets its final name when it is complete, so an interrupted run leaves nothing that looks complete.
fetch() {
  command -v apt-get >/dev/null || fail "docker-registry is missing, and this is not Debian or a derivative. Install it."
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
  debian_download "$release" "$work/download" docker-registry >"$work/log" 2>&1 ||
    fail "could not download the docker-registry package of $release:"$'\n'"$(tail -n 10 "$work/log")"
  dpkg-deb --extract "$work"/download/docker-registry_*.deb "$work/package"
  mkdir -p "$(dirname "$cached")"
  mv --no-target-directory "$work/package/usr/bin/docker-registry" "$cached"
}

if command -v docker-registry; then exit; fi
if [[ ! -x $cached ]]; then fetch; fi
"$cached" --version >/dev/null || fail "$cached does not run. Remove the file."
echo "$cached"
