#!/usr/bin/env bash
# What we rely on in the official redis image: it starts the server if given only options, runs it as redis, which owns
# /data, and accepts connections from other hosts without a password (Debian's build refuses them by default).
set -euo pipefail

case ${1:-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac

if [[ $1 == redis-server ]]; then
  # A configuration file must be the first argument, so our option goes last, unless the caller has set it.
  [[ " $* " == *' --protected-mode '* ]] || set -- "$@" --protected-mode no
  if ((EUID == 0)); then
    chown -R redis: /data
    exec setpriv --reuid redis --regid redis --init-groups -- "$@"
  fi
fi
exec "$@"
