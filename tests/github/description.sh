#!/usr/bin/env bash
# Have GitHub's own OpenAPI description of the operations that the double serves, and print where it is.
#
# The package is Octokit's, under the MIT licence: 13 MB of description in 29 MB of tarball, which is why it is not kept here.
# The operations that extract.py lists go into a cache, whose name changes with the package and with the list.
set -euo pipefail

readonly package=@octokit/openapi version=23.0.2
readonly sha512=a55f0cecbf46636dc0c9b36f4e6a369f28e6a669edebedac444fedaabd192d070f4b8967c3bbb979918d9b044d9010b70fb8195db171e401f32d455105718386

fail() {
  printf 'description: %s\n' "$*" >&2
  exit 1
}

here=$(dirname "$(readlink -f "$0")")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bench-action-tests
list=$(sha256sum <"$here/extract.py")
readonly here cache list
readonly description=$cache/github-$version-${list:0:12}.json

if [[ ! -s $description ]]; then
  command -v npm >/dev/null || fail "npm is missing: install it (Debian's package is called npm)"
  mkdir -p -- "$cache"
  work=$(mktemp -d -- "$cache/github.XXXXXX") # beside the result, so that moving it there is atomic
  trap 'rm -rf -- "$work"' EXIT

  echo "description: getting $package@$version" >&2
  (cd -- "$work" && npm pack --silent "$package@$version") >"$work/log" 2>&1 || {
    tail -n 5 -- "$work/log" >&2
    fail "npm could not get $package@$version"
  }
  tarball=("$work"/*.tgz)
  sha512sum --check --status <<<"$sha512  ${tarball[0]}" || fail "$package@$version is not what it was: its sha512 differs"
  "${PYTHON:-python3}" "$here/extract.py" "${tarball[0]}" "$work/description.json"
  mv -- "$work/description.json" "$description"
fi
printf '%s\n' "$description"
