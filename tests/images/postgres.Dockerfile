# A stand-in for postgres:17: same uid, paths, volume, stop signal and entrypoint behaviour; Debian's package includes contrib.
FROM bench-action-standin:trixie
# The user comes first, because Debian's package would take the next free uid. The entrypoint creates the cluster in the
# volume, so installation must not. The locale matches the official image, as it sets the default collation.
RUN groupadd --gid 999 postgres \
 && useradd --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres \
 && mkdir /etc/postgresql-common /docker-entrypoint-initdb.d \
 && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
 && apt-get update \
 && apt-get install --yes --no-install-recommends locales postgresql-17 \
 && localedef --inputfile en_US --charmap UTF-8 en_US.UTF-8 \
 && rm -rf /var/lib/apt/lists/* \
 && sed -i "s/^#*listen_addresses = .*/listen_addresses = '*'/" /usr/share/postgresql/17/postgresql.conf.sample \
 && install --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql \
 && install --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql/data
ENV PG_MAJOR=17 LANG=en_US.utf8 PGDATA=/var/lib/postgresql/data \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
