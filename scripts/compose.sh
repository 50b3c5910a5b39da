#!/usr/bin/env bash
# Find a compose for the tests, and print what makes it work: for `compose.sh`, the Docker configuration folder with the
# plugin; for `compose.sh classic`, a folder with the classic docker-compose. This machine's own, or else one in the cache
# from Debian's archive. The machine's own files are not changed.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=scripts/debian.sh
source "$here/debian.sh"
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/bench-action-tests
readonly plugin=$cache/compose-trixie classic=$cache/compose-classic
# what the classic one needs; it is written in Python, and bookworm is the last release that has it
readonly modules=(python3-{attr,cached-property,certifi,chardet,charset-normalizer,distro,distutils,docker,dockerpty,docopt}
  python3-{dotenv,idna,jsonschema,lib2to3,packaging,pyrsistent,requests,six,texttable,urllib3,websocket,yaml})

fail() {
  printf '%s\n' "compose: $*" >&2
  exit 1
}

# fetch RELEASE ROOT PACKAGE…: unpack packages of Debian. The folder gets its final name when it is complete.
fetch() {
  local release=$1 root=$2 file
  shift 2
  command -v apt-get >/dev/null || fail "there is no compose, and this is not Debian or a derivative. Install it."
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
  debian_download "$release" "$work/download" "$@" >"$work/log" 2>&1 ||
    fail "could not download packages of $release:"$'\n'"$(tail -n 10 "$work/log")"
  for file in "$work"/download/*.deb; do dpkg-deb --extract "$file" "$work/package"; done
  mkdir -p "$(dirname "$root")"
  mv --no-target-directory "$work/package" "$root"
}

# The plugins of a machine stay usable: buildx may be one of them.
find_plugin() {
  if docker compose version >/dev/null 2>&1; then
    echo "${DOCKER_CONFIG:-$HOME/.docker}"
    return
  fi
  [[ -d $plugin/usr ]] || fetch trixie "$plugin" docker-compose
  mkdir -p "$plugin/cli-plugins"
  [[ -e $plugin/cli-plugins/docker-compose ]] ||
    ln -sf "$plugin/usr/libexec/docker/cli-plugins/docker-compose" "$plugin/cli-plugins/"
  DOCKER_CONFIG=$plugin docker compose version >/dev/null || fail "the plugin in $plugin does not run. Remove the folder."
  echo "$plugin"
}

find_classic() {
  [[ -d $classic/usr ]] || fetch bookworm "$classic" docker-compose "${modules[@]}"
  mkdir -p "$classic/bin"
  local program
  program=$(mktemp -p "$classic/bin") # moved into its place whole: another test may be running it
  cat >"$program" <<EOF
#!/bin/sh
PYTHONPATH=$classic/usr/lib/python3/dist-packages exec /usr/bin/python3 -W ignore $classic/usr/bin/docker-compose "\$@"
EOF
  chmod 755 "$program"
  mv -f "$program" "$classic/bin/docker-compose"
  "$classic/bin/docker-compose" version >/dev/null || fail "the program in $classic does not run. Remove the folder."
  echo "$classic/bin"
}

if [[ ${1:-} = classic ]]; then find_classic; else find_plugin; fi
