#!/usr/bin/env bash
# packages.sh PACKAGE…: make sure that these Debian packages are installed. As root, install what is missing; else list it.
set -euo pipefail

missing=()
for package; do
  [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
  echo "packages: not installed: ${missing[*]}. Installing them needs root and apt-get." >&2
  echo "packages: run 'apt-get install ${missing[*]}' as root, or install their equivalents and set PACKAGES= for make." >&2
  exit 1
fi

echo "packages: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
# Debian starts a server when it is installed. Nobody who runs tests wants an SSH server that listens to everyone.
readonly policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " == *' openssh-server '* && ! -e $policy ]]; then
  trap 'rm -f -- "$log" "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
exec 9>/run/bench-action-packages.lock # make installs from two targets at the same time
flock 9
# Another apt may be running, as on many machines in the first minutes after they start.
readonly apt=(apt-get --quiet --yes --option DPkg::Lock::Timeout=300)
if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
  echo "packages: apt-get could not install ${missing[*]}:" >&2
  tail -n 20 "$log" >&2
  exit 1
fi
