#!/usr/bin/env bash
# Download GitHub's own OpenAPI description of the operations that the double serves, and print its path.
#
# The package is Octokit's, under the MIT licence. Its description has 13 MB, too much for this repository, so the operations
# that extract.py lists are kept in a cache, whose name depends on the package's version and on extract.py.
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
  work=$(mktemp -d -- "$cache/github.XXXXXX") # in the cache, so that moving the result is atomic
  trap 'rm -rf -- "$work"' EXIT

  echo "description: downloading $package@$version" >&2
  (cd -- "$work" && npm pack --silent "$package@$version") >"$work/log" 2>&1 || {
    tail -n 5 -- "$work/log" >&2
    fail "npm could not download $package@$version"
  }
  tarball=("$work"/*.tgz)
  sha512sum --check --status <<<"$sha512  ${tarball[0]}" || fail "$package@$version has changed: its sha512 differs"
  "${PYTHON:-python3}" "$here/extract.py" "${tarball[0]}" "$work/description.json"
  mv -- "$work/description.json" "$description"
fi
printf '%s\n' "$description"
