# A stand-in for maven:3.9-eclipse-temurin-21: Debian's Maven and OpenJDK 21. Nothing can be downloaded: Maven works
# offline, with the repository that Debian's packages of Java libraries and plugins fill.
FROM eclipse-temurin:21-jre
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openjdk-21-jdk-headless maven libmaven-compiler-plugin-java \
      libmaven-resources-plugin-java libmaven-dependency-plugin-java \
      libpostgresql-jdbc-java libhikaricp-java libslf4j-java junit5 \
 && rm -rf /var/lib/apt/lists/* \
 && printf '<settings><offline>true</offline><localRepository>%s</localRepository></settings>\n' /usr/share/maven-repo \
      >/etc/maven/settings.xml \
 && mvn --version
CMD ["mvn"]
