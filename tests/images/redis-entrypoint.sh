#!/usr/bin/env bash
# What the official redis image promises: options alone start the server, the server runs as redis and owns /data,
# and it takes connections from other hosts without a password (Debian's build refuses them by default).
set -euo pipefail

case ${1:-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac

if [[ $1 == redis-server ]]; then
  # A configuration file has to stay the first argument, so ours goes last, unless the caller has decided.
  [[ " $* " == *' --protected-mode '* ]] || set -- "$@" --protected-mode no
  if ((EUID == 0)); then
    chown -R redis: /data
    exec setpriv --reuid redis --regid redis --init-groups -- "$@"
  fi
fi
exec "$@"
