#!/usr/bin/env bash
# Find a `docker buildx` for the tests, and print the Docker configuration folder that makes it work: this machine's own,
# or else one in the cache with the plugin from Debian's archive. The machine's folder is not changed.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/debian.sh
source "$here/debian.sh"
readonly release=trixie # bookworm has no buildx; this suite's runs there
readonly cached=${XDG_CACHE_HOME:-$HOME/.cache}/bench-action-tests/docker-$release

fail() {
  printf '%s\n' "buildx: $*" >&2
  exit 1
}

# The folder gets its final name when it is complete, so an interrupted run leaves nothing that looks complete.
fetch() {
  command -v apt-get >/dev/null || fail "docker has no buildx, and this is not Debian or a derivative. Install the plugin."
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
  debian_download "$release" "$work/download" docker-buildx >"$work/log" 2>&1 ||
    fail "could not download the docker-buildx package of $release:"$'\n'"$(tail -n 10 "$work/log")"
  dpkg-deb --extract "$work"/download/docker-buildx_*.deb "$work/package"
  mkdir -p "$work/config" "$(dirname "$cached")"
  mv "$work/package/usr/libexec/docker/cli-plugins" "$work/config"
  mv --no-target-directory "$work/config" "$cached"
}

if docker buildx version >/dev/null 2>&1; then
  echo "${DOCKER_CONFIG:-$HOME/.docker}"
  exit
fi
if [[ ! -d $cached ]]; then fetch; fi
DOCKER_CONFIG=$cached docker buildx version >/dev/null || fail "the plugin in $cached does not run. Remove the folder."
echo "$cached"
