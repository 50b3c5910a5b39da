#!/usr/bin/env bash
# Make sure that a Docker engine answers: if none does, install and start one, as root on Debian or a derivative.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
readonly here log=/var/log/bench-action-dockerd.log start_s=60

say() { printf '%s\n' "engine: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# alive PIDFILE NAME: succeed if the process in the file is running, and is the program NAME
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$2"* ]]
}

# A machine that was stopped or restored from an image leaves these files behind. If their number now belongs to another
# process, dockerd believes that it is already running.
remove_stale_pid_files() {
  alive /var/run/docker.pid dockerd || rm -f /var/run/docker.pid
  alive /var/run/docker/containerd/containerd.pid containerd || rm -f /var/run/docker/containerd/containerd.pid
}

install_engine() {
  command -v apt-get >/dev/null ||
    fail 'no Docker engine answers, and this script can install one only on Debian and its derivatives. Install and start Docker.'
  local packages=(docker.io iptables)
  # Debian 13 and later ship the client on its own.
  ! apt-cache show docker-cli >/dev/null 2>&1 || packages+=(docker-cli)
  "$here/packages.sh" "${packages[@]}"
}

start_engine() {
  local started='' deadline=$((SECONDS + start_s))
  remove_stale_pid_files
  if ! alive /var/run/docker.pid dockerd; then
    say "starting dockerd, which logs to $log"
    setsid nohup dockerd >"$log" 2>&1 </dev/null &
    started=$!
  fi
  until answers; do
    if ((SECONDS >= deadline)) || [[ -n $started && ! -d /proc/$started ]]; then
      tail -n 20 "$log" >&2 || true
      fail "dockerd does not answer; the end of $log is above. Start an engine yourself, or use --engine local."
    fi
    sleep 0.5
  done
}

! answers || exit 0
[[ -z ${DOCKER_HOST:-} ]] ||
  fail "the Docker engine at DOCKER_HOST=$DOCKER_HOST does not answer. Start it, or unset DOCKER_HOST to use this machine's."
((EUID == 0)) ||
  fail "no Docker engine answers, and installing or starting one needs root. Start Docker, or let $(id -un) use it (group docker)."
if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then install_engine; fi
answers || start_engine
say "Docker $(docker version --format '{{.Server.Version}}') answers"
