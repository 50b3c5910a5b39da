# A stand-in for eclipse-temurin:21-jre: Debian's OpenJDK 21.
FROM bench-action-standin:trixie
ENV LANG=C.UTF-8 JAVA_HOME=/opt/java/openjdk \
    PATH=/opt/java/openjdk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# The package links manuals, for which the base has no folder.
RUN mkdir --parents /usr/share/man/man1 \
 && apt-get update \
 && apt-get install --yes --no-install-recommends openjdk-21-jre-headless \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir /opt/java \
 && ln -s /usr/lib/jvm/java-21-openjdk-* "$JAVA_HOME" \
 && java --version
CMD ["jshell"]
