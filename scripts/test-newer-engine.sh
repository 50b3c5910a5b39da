#!/usr/bin/env bash
# Run the tests that need an engine against a newer one than this machine's, like the one on hosted runners. Three times:
# with its defaults; with containerd's image store and the minimum API version of engine 29, for which some of the tests are
# enough; and without the cpuset controller. Arguments go to pytest.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
readonly here images=(python:3.13-slim postgres:17 redis:8)
cd "$here/.."
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-action-newer-engine.XXXXXX")
readonly work
trap '"$here/newer-engine.sh" stop "$work/run" && rm -rf -- "$work"' EXIT

# with_engine [NAME=VALUE…] TESTS [DOCKERD'S OPTION…]: start an engine, load the images, run these tests, stop it
with_engine() {
  local settings=() tests
  while [[ $1 == *=* ]]; do
    settings+=("$1")
    shift
  done
  read -ra tests <<<"$1"
  shift
  env "${settings[@]}" "$here/newer-engine.sh" start "$work/run" "$@"
  docker save --output "$work/images.tar" "${images[@]}"
  (
    export DOCKER_HOST=unix://$work/run/docker.sock DOCKER_CONFIG=$work/run/config PATH=$work/run/bin:$PATH
    unset DOCKER_CONTEXT DOCKER_API_VERSION BUILDX_BUILDER
    docker load --quiet --input "$work/images.tar" >/dev/null
    docker buildx version
    PYTHONPATH=tests/plugins .venv/bin/python -m pytest -p no_skips --timeout 600 "${tests[@]}" "${arguments[@]}"
  )
  "$here/newer-engine.sh" stop "$work/run"
}

# Control groups version 2 have no controllers if mounted next to version 1, and all of them if mounted alone.
has_bare_cgroups_v2() {
  local mounted
  mounted=$(findmnt --noheadings --first-only --output TARGET --types cgroup2) && ! grep -qw cpuset "$mounted/cgroup.controllers"
}

arguments=("$@")
readonly arguments
with_engine tests/docker
with_engine MIN_API=1.44 'tests/docker/test_build.py tests/docker/test_engine.py tests/docker/test_load.py' \
  --feature containerd-snapshotter=true
if has_bare_cgroups_v2; then
  with_engine CGROUP=v2 tests/docker/test_pinning.py # only this one: other tests read the memory controller, which is missing too
else
  echo 'newer engine: skipped the run without the cpuset controller, because this machine has control groups version 2 alone' >&2
fi
