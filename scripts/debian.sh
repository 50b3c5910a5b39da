# shellcheck shell=bash
# To be sourced: Debian's archive, through this machine's own apt sources. This repository contains no mirror's address.

# debian_mirror debian|debian-security: print the address that this machine's apt uses for it, if any
debian_mirror() {
  # shellcheck disable=SC2016  # apt fills the field in, not the shell
  apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m 1 -E "/$1/?$" || true
}

# debian_archive: print the address of Debian itself; fail if there is no such source
debian_archive() {
  local mirror
  mirror=$(debian_mirror debian)
  [[ -n $mirror ]] || { echo "apt has no mirror of Debian. Run 'apt-get update', or add one to its sources." >&2; return 1; }
  echo "$mirror"
}

# debian_download SUITE FOLDER PACKAGE…: download packages of a suite, even one that this machine does not use
debian_download() {
  local suite=$1 folder=$2 mirror options
  shift 2
  mirror=$(debian_archive) || return
  mkdir -p "$folder"/{lists,cache/archives}/partial
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
    >"$folder/sources.list"
  options=(--quiet --option APT::Sandbox::User=root --option Acquire::Languages=none
    --option "Dir::Etc::SourceList=$folder/sources.list" --option Dir::Etc::SourceParts=/dev/null
    --option "Dir::State::Lists=$folder/lists" --option "Dir::Cache=$folder/cache")
  apt-get "${options[@]}" update && (cd "$folder" && apt-get "${options[@]}" download "$@")
}

# debian_tree SUITE ROOT PACKAGE…: make a root folder of a suite with these packages, without starting their services. Its
# apt reaches the archive the way this machine's does. Prints what the programs print.
debian_tree() {
  local suite=$1 root=$2 mirror script
  shift 2
  mirror=$(debian_archive) || return
  script=/usr/share/debootstrap/scripts/$suite
  [[ -e $script ]] || script=/usr/share/debootstrap/scripts/sid # for a suite newer than debootstrap, sid's script works
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" \
    "$script" || return
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  apt-config dump | grep -E '^Acquire::(http|https|Check|Retries)[^ ]* "' >"$root/etc/apt/apt.conf.d/90host" || true
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt"
  chroot "$root" apt-get update || return
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install --yes --no-install-recommends "$@" || return
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb
}
