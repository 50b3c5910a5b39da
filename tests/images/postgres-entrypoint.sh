#!/usr/bin/env bash
# What we rely on in the official postgres image: it initialises an empty PGDATA for POSTGRES_USER, POSTGRES_PASSWORD (or
# the content of POSTGRES_PASSWORD_FILE) and POSTGRES_DB; runs the scripts in /docker-entrypoint-initdb.d once; starts the
# server if given only options; and runs it as postgres. During initialisation the server answers only on its socket, so a
# probe of that socket reports "ready" too early. We keep that on purpose, because our readiness check has to handle it.
set -euo pipefail

initialise() {
  [[ -z ${POSTGRES_PASSWORD_FILE:-} ]] || POSTGRES_PASSWORD=$(<"$POSTGRES_PASSWORD_FILE")
  local user=${POSTGRES_USER:-postgres}
  local database=${POSTGRES_DB:-$user}
  local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [[ -z ${POSTGRES_PASSWORD:-} && $method != trust ]]; then
    echo 'Error: Database is uninitialized and superuser password is not specified; set POSTGRES_PASSWORD.' >&2
    exit 1
  fi
  local -a arguments
  read -ra arguments <<<"${POSTGRES_INITDB_ARGS:-}"
  [[ -z ${POSTGRES_PASSWORD:-} ]] || arguments+=(--pwfile=/dev/fd/3)
  initdb --username="$user" "${arguments[@]}" 3<<<"${POSTGRES_PASSWORD:-}"
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

  pg_ctl --wait --options="$(printf '%q ' "$@" -c listen_addresses=)" start
  local -a client=(psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$user")
  if [[ $database != postgres ]]; then
    "${client[@]}" --dbname=postgres --set=name="$database" <<<'CREATE DATABASE :"name";'
  fi
  local script
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh) bash "$script" ;;
      *.sql) "${client[@]}" --dbname="$database" --file="$script" ;;
    esac
  done
  pg_ctl --wait --mode=fast stop
  printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

[[ ${1:-} != -* ]] || set -- postgres "$@"

if [[ $1 == postgres ]]; then
  if ((EUID == 0)); then
    mkdir -p "$PGDATA"
    chown -R postgres: "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups -- env HOME=/var/lib/postgresql "$0" "$@"
  fi
  [[ -s $PGDATA/PG_VERSION ]] || initialise "${@:2}"
fi
exec "$@"
