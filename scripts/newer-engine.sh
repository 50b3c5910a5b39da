#!/usr/bin/env bash
# A newer Docker engine next to this machine's own: Debian's next release in a folder, in separate namespaces.
#
#   newer-engine.sh start RUN [DOCKERD'S OPTION…]   RUN/docker.sock, RUN/bin/docker and RUN/config for DOCKER_CONFIG
#   newer-engine.sh stop RUN                        stop it, and remove RUN
#   newer-engine.sh remove                          remove the Debian tree, which is otherwise kept for the next start
#
# MIN_API=1.44   the lowest API version that it accepts, as engines from 29 on do by default
# CGROUP=v2      show it only control groups version 2, without cpuset and memory, instead of what this machine has
set -euo pipefail

self=$(readlink -f "$0")
here=$(dirname "$self")
readonly self here release=forky start_s=60 stop_s=60
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/bench-action-tests
readonly tree=$cache/engine-$release
readonly packages=(docker.io docker-cli docker-buildx iptables iproute2 procps kmod passt util-linux mount) # codespell:ignore passt
# shellcheck source=scripts/debian.sh
source "$here/debian.sh"

say() { printf '%s\n' "newer engine: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

# The tree gets its final name when it is complete, so an interrupted run starts over.
make_tree() {
  [[ ! -d $tree ]] || return 0
  ((EUID == 0)) || fail 'this needs root.'
  command -v debootstrap >/dev/null || "$here/packages.sh" debootstrap
  say "installing Debian $release with Docker into $tree, which takes a minute"
  rm -rf "$tree.part"
  mkdir -p "$cache"
  debian_tree "$release" "$tree.part" "${packages[@]}" >"$tree.part.log" 2>&1 </dev/null ||
    fail "could not install it:"$'\n'"$(tail -n 15 "$tree.part.log")"
  mv "$tree.part" "$tree"
}

# node NAME MAJOR MINOR: create a character device in the tree
node() { mknod -m 666 "$tree/dev/$1" c "$2" "$3"; }

mount_devices() {
  mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
  node null 1 3
  node zero 1 5
  node full 1 7
  node random 1 8
  node urandom 1 9
  node tty 5 0
  mkdir -p "$tree"/dev/{net,pts,shm}
  node net/tun 10 200
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$tree/dev/pts"
  mount -t tmpfs tmpfs "$tree/dev/shm"
  ln -s pts/ptmx "$tree/dev/ptmx"
  ln -s /proc/self/fd "$tree/dev/fd"
}

mount_all() { # RUN
  mount --bind "$tree" "$tree"
  mount -t proc proc "$tree/proc"
  mount -t sysfs sysfs "$tree/sys"
  if [[ ${CGROUP:-} == v2 ]]; then
    mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup" # in a control group namespace, whose root is our own group
  else
    mount --rbind /sys/fs/cgroup "$tree/sys/fs/cgroup"
  fi
  mount_devices
  mount -t tmpfs -o mode=755 tmpfs "$tree/run"
  mkdir "$tree"/run/{outside,lock}
  mount --bind "$1" "$tree/run/outside"
}

# In the new namespaces: become dockerd. `docker exec` enters the root of a container's mount namespace, which would still
# be this machine's after a plain chroot, so we change the root itself.
become_engine() { # RUN OPTION…
  local run=$1
  shift
  echo $$ >"$run/engine.pid"
  mount_all "$run"
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  touch "$run/wants-network"
  until [[ -e $run/has-network ]]; do sleep 0.1; done
  mkdir -p "$tree/mnt/old"
  cd "$tree"
  pivot_root . mnt/old
  # shellcheck disable=SC2016  # the inner shell's
  exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    ${MIN_API:+DOCKER_MIN_API_VERSION=$MIN_API} sh -c 'umount --lazy /mnt/old && exec "$@"' sh \
    dockerd --host unix:///run/outside/docker.sock --pidfile /run/outside/dockerd.pid --data-root /run/outside/data "$@"
}

# In a mount namespace: connect the engine to this machine's network, so that builds reach the package archives. The network
# namespace is mounted on a file, because pasta has dropped the right to look it up in /proc when it needs it.
become_network() { # RUN
  mount --bind "$tree" "$tree"
  mount -t proc proc "$tree/proc"
  mount_devices
  mount -t tmpfs tmpfs "$tree/run"
  mkdir "$tree/run/outside"
  mount --bind "$1" "$tree/run/outside"
  touch "$tree/run/netns"
  mount --bind "/proc/$(<"$1/engine.pid")/ns/net" "$tree/run/netns"
  exec chroot "$tree" pasta --quiet --config-net --no-map-gw --runas 0 --pid /run/outside/pasta.pid \
    --log-file /run/outside/pasta.log -t none -u none -T none -U none --netns-only --netns /run/netns
}

# Everything that the engine creates is below this group, and nothing above it changes.
own_group() { echo "$(findmnt --noheadings --first-only --output TARGET --types cgroup2)/bench-action-${1//\//-}"; }

# This machine uses the client and the plugin of the tree, as MIN_API rejects an older client.
link_client() { # RUN
  mkdir -p "$1"/{bin,config}
  ln -sf "$tree/usr/bin/docker" "$1/bin/docker"
  ln -sfn "$tree/usr/libexec/docker/cli-plugins" "$1/config/cli-plugins"
}

answers() { # RUN
  DOCKER_HOST=unix://$1/docker.sock "$1/bin/docker" version \
    --format 'Docker {{.Server.Version}}, API {{.Server.APIVersion}}, at least {{.Server.MinAPIVersion}}' 2>/dev/null
}

start() { # RUN OPTION…
  mkdir -p "$1"
  local run group='' engine deadline
  run=$(readlink -f "$1")
  shift
  make_tree
  link_client "$run"
  [[ ${CGROUP:-} != v2 ]] || group=$(own_group "$run")
  setsid "$self" engine "$group" "$run" "$@" >"$run/dockerd.log" 2>&1 </dev/null &
  engine=$!
  deadline=$((SECONDS + start_s))
  until [[ -e $run/wants-network ]]; do
    [[ -d /proc/$engine ]] || fail "dockerd did not start:"$'\n'"$(tail -n 15 "$run/dockerd.log")"
    sleep 0.1
  done
  unshare --mount --propagation private "$self" network "$run" >"$run/network.log" 2>&1 ||
    say "could not connect it to the network:"$'\n'"$(<"$run/network.log")"
  touch "$run/has-network"
  until answers "$run" >"$run/version"; do
    if ((SECONDS >= deadline)) || [[ ! -d /proc/$engine ]]; then
      fail "dockerd does not answer:"$'\n'"$(tail -n 15 "$run/dockerd.log")"
    fi
    sleep 0.2
  done
  say "$(<"$run/version")"
}

# end PIDFILE: stop its process and wait until it has exited
end() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for ((tick = 0; tick < stop_s * 5; tick++)); do
    [[ -d /proc/$pid ]] || return 0
    sleep 0.2
  done
  return 1
}

stop() { # RUN
  [[ -d $1 ]] || return 0
  local run group
  run=$(readlink -f "$1")
  end "$run/engine.pid" || fail "could not stop dockerd; its log is $run/dockerd.log"
  end "$run/pasta.pid" || fail "could not stop pasta; its log is $run/pasta.log"
  group=$(own_group "$run")
  [[ ! -d $group ]] || find "$group" -depth -type d -exec rmdir {} +
  rm -rf "$run"
}

case ${1:-} in
  start) start "${@:2}" ;;
  stop) stop "$2" ;;
  remove) rm -rf "$tree" "$tree".* ;;
  # only this script calls the rest
  engine) # GROUP RUN OPTION…
    [[ -z $2 ]] || { mkdir -p "$2" && echo $$ >"$2/cgroup.procs"; }
    exec unshare --mount --net ${2:+--cgroup} --propagation private "$self" namespaces "${@:3}" ;;
  namespaces) become_engine "${@:2}" ;;
  network) become_network "$2" ;;
  *) fail "unknown command '${1:-}'; use start, stop or remove" ;;
esac
