# A stand-in for redis:8: same uid, volume, working directory and entrypoint behaviour.
FROM bench-action-standin:trixie
RUN groupadd --gid 999 redis \
 && useradd --uid 999 --gid redis redis \
 && apt-get update \
 && apt-get install --yes --no-install-recommends redis-server \
 && rm -rf /var/lib/apt/lists/* \
 && install --directory --owner redis --group redis /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
