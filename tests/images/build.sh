#!/usr/bin/env bash
# Stand-ins for the official images that the benchmark is based on, for machines that cannot reach an image registry.
#
#   build.sh          get the images that every run needs: the local one, else the registry's, else a stand-in built from
#                     Debian's archive. A stand-in whose recipe has changed is rebuilt
#   build.sh NAME…    get these images: node ruby go java php nginx pypy k6, which examples and fixed rates need
#   build.sh remove   remove the stand-ins, but no official image
#
# The build copies this machine's network settings (certificates, package mirrors, proxies) into the images, so that pip and
# apt work in the build steps of any Dockerfile based on them. None of these settings is kept in this repository.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
readonly here
# shellcheck source=scripts/debian.sh
source "$here/../../scripts/debian.sh"
readonly images=(python:3.13-slim postgres:17 redis:8)
readonly -A optional=([node]=node:24-slim [ruby]=ruby:3.3 [go]=golang:1.24 [php]=php:8.4-apache [nginx]=nginx:1.26 [pypy]=pypy:3.11-slim [k6]=grafana/k6:1.2.1
  [java]="eclipse-temurin:21-jre maven:3.9-eclipse-temurin-21")
readonly suite=trixie # the Debian release of the official images; it has Python 3.13, PostgreSQL 17 and Redis 8
readonly base=bench-action-standin:$suite
readonly label=bench-action.standin # images based on a stand-in inherit it, so it never decides alone what to remove
readonly recipe_label=$label.recipe
readonly registry_answer_s=20 registry_pull_s=900
registry=untried
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

say() { printf '%s\n' "images: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

is_local() { docker image inspect "$1" >/dev/null 2>&1; }

image_label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null; }

# recipe IMAGE: print a hash of the files from which its stand-in is built
recipe() { (cd "$here" && sha256sum "${1%%:*}"?* | sha256sum | cut -c1-16); }

# is_current IMAGE: whether it is there, and is either official or a stand-in built from the recipe as it is now
is_current() { is_local "$1" && [[ $(image_label "$1" $label) != 1 || $(image_label "$1" $recipe_label) == "$(recipe "$1")" ]]; }

# The registry has a short time to find the image, and a long one to send it. If it does not answer, the next images do not
# try it again.
pull() {
  [[ $registry != unreachable ]] || return 1
  local log=$work/pull.log pid
  timeout "$registry_pull_s" docker pull "$1" >"$log" 2>&1 &
  pid=$!
  for ((tick = 0; tick < registry_answer_s * 5; tick++)); do
    if ! kill -0 "$pid" 2>/dev/null || grep -q 'Pulling from' "$log"; then
      if wait "$pid"; then return 0; fi
      break
    fi
    sleep 0.2
  done
  kill "$pid" 2>/dev/null || true
  registry=unreachable
  say "could not pull $1: $(tail -n 1 "$log")"
  return 1
}

# pip_setting NAME: print this machine's setting of a pip option, unless it is a folder, which a container would not have
pip_setting() {
  local variable value file
  variable=PIP_$(tr 'a-z-' 'A-Z_' <<<"$1")
  value=${!variable:-}
  for file in "${PIP_CONFIG_FILE:-}" ~/.config/pip/pip.conf ~/.pip/pip.conf /etc/pip.conf; do
    [[ -z $value && -r $file ]] || continue
    value=$(sed -n "s/^$1 *= *//p" "$file")
  done
  [[ -z $value || $value == /* || $value == *file:* ]] || printf '%s = %s\n' "$1" "$value"
}

# debootstrap has written the archive that it used to sources.list.
write_apt_configuration() { # ROOT
  local security proxy=${http_proxy:-${HTTP_PROXY:-}}
  security=$(debian_mirror debian-security)
  [[ -z $security ]] || echo "deb $security $suite-security main" >>"$1/etc/apt/sources.list"
  {
    apt-config dump | grep -E '^Acquire::(http|https|Check|Retries)[^ ]* "' || true
    [[ -z $proxy ]] || echo "Acquire::http::Proxy \"$proxy\";"
    # As in the official images, keep nothing that apt can fetch or compute again.
    echo 'Acquire::Languages "none"; Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";'
    echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };'
  } >"$1/etc/apt/apt.conf.d/90host"
  # Start no services, install no manuals, and skip syncing files: a crash may lose them.
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod 755 "$1/usr/sbin/policy-rc.d"
  printf '%s\n' force-unsafe-io 'path-exclude /usr/share/doc/*' 'path-exclude /usr/share/man/*' \
    'path-exclude /usr/share/locale/*' >"$1/etc/dpkg/dpkg.cfg.d/90container"
}

write_pip_configuration() { # ROOT
  local name proxy=${https_proxy:-${HTTPS_PROXY:-}}
  {
    echo '[global]'
    echo 'cert = /etc/ssl/certs/ca-certificates.crt'
    for name in index-url extra-index-url trusted-host timeout; do pip_setting "$name"; done
    [[ -z $proxy ]] || echo "proxy = $proxy"
  } >"$1/etc/pip.conf"
}

# Copy the certificate authorities of this machine's network to where a package that rebuilds the bundle looks for them.
write_certificates() { # ROOT
  find /usr/local/share/ca-certificates -name '*.crt' \
    -exec cp --target-directory "$1/usr/local/share/ca-certificates" {} + 2>/dev/null || true
  chroot "$1" update-ca-certificates >/dev/null 2>&1
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$1/etc/ssl/certs/ca-certificates.crt"
}

build_base() {
  ! is_local "$base" || return 0
  ((EUID == 0)) || fail 'building a stand-in with debootstrap needs root. Run this as root, or pull the images.'
  command -v debootstrap >/dev/null || "$here/../../scripts/packages.sh" debootstrap
  local root=$work/root mirror # without one, debootstrap uses its default
  mirror=$(debian_mirror debian)
  say "building the base of the stand-ins from $suite"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 ||
    fail "debootstrap failed:"$'\n'"$(tail -n 15 "$work/debootstrap.log")"
  write_apt_configuration "$root"
  write_pip_configuration "$root"
  write_certificates "$root"
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb \
    "$root"/usr/share/{doc,man,locale}/*
  tar -C "$root" --numeric-owner --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . |
    docker import --change 'CMD ["bash"]' --change "LABEL $label=1" - "$base" >/dev/null
}

build_standin() { # IMAGE
  local log=$work/build.log
  say "building a stand-in for $1"
  docker build --tag "$1" --label "$recipe_label=$(recipe "$1")" --build-arg NPM_REGISTRY="$(npm_registry)" \
    --file "$here/${1%%:*}.Dockerfile" "$here" >"$log" 2>&1 ||
    fail "could not build the stand-in for $1:"$'\n'"$(tail -n 25 "$log")"
}

# The registry that this machine's npm uses, if it has npm
npm_registry() { npm config get registry 2>/dev/null || true; }

get() { # IMAGE…
  local image
  for image in "$@"; do
    if is_current "$image"; then continue; fi
    if ! is_local "$image" && pull "$image"; then continue; fi
    build_base
    build_standin "$image"
  done
}

get_optional() { # NAME…
  local name wanted
  for name in "$@"; do
    [[ -n ${optional[$name]:-} ]] || fail "unknown image '$name'; choose from: ${!optional[*]}"
    read -ra wanted <<<"${optional[$name]}"
    get "${wanted[@]}"
  done
}

remove() {
  local image
  # shellcheck disable=SC2068  # some values hold two names
  for image in "${images[@]}" ${optional[@]} "$base"; do
    if [[ $(image_label "$image" $label) == 1 ]]; then
      docker image rm "$image" >/dev/null
      say "removed the stand-in $image"
    fi
  done
}

case ${1:-} in
  '') get "${images[@]}" ;;
  remove) remove ;;
  *) get_optional "$@" ;;
esac
