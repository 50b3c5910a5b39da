# The action's image. It runs as root, as the workspace and the Docker socket belong to other users. No USER and no
# WORKDIR: the runner sets them. A release pins the official image, and this one, by digest (release.yml).
FROM python:3.13-slim AS build
WORKDIR /build
# the tool's environment is built here and copied as a whole, so that the image has no pip, cache or sources
RUN python -m venv /opt/build && python -m venv --without-pip /opt/bench-action
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
    && /opt/build/bin/pip --python /opt/bench-action/bin/python install --no-cache-dir --require-hashes \
    --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY apps apps
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && /opt/build/bin/pip --python /opt/bench-action/bin/python install --no-deps wheels/*.whl \
    && find /opt/bench-action -type d -name tests -prune -exec rm -r {} + \
    # keep only scipy's special functions, and drop plotly's notebook extension: saves 50 MB
    && cd /opt/bench-action/lib/python3*/site-packages \
    && find scipy -mindepth 1 -maxdepth 1 -type d ! -name special ! -name linalg ! -name '_*' -exec rm -r {} + \
    && rm -r plotly/labextension \
    # compile only what is imported, for a fast start: bytecode of the rest would be as large as its source
    && find /opt/bench-action -name __pycache__ -prune -exec rm -r {} + \
    && env --unset=PYTHONDONTWRITEBYTECODE /opt/bench-action/bin/python -c \
    'import bench_action.cli.app, scipy.special, plotly.graph_objects, plotly.offline'

FROM python:3.13-slim
# git and git-lfs read the base revision's sources; docker-cli and docker-buildx build images with BuildKit, docker-compose
# reads compose files, openssh-client reaches hosts; wrk is here because the load generator runs from this image.
# Left out, which saves as much as docker-compose takes: perl, which only git's mail, svn and web commands need (perl-base
# stays), and git's servers and programs for other protocols. git-core's copy of git becomes a link to it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
    --option Dpkg::Options::=--path-exclude=/usr/share/perl/* \
    --option Dpkg::Options::=--path-exclude=/usr/lib/*/perl/* \
    --option Dpkg::Options::=--path-exclude=/usr/lib/*/libperl.so* \
    --option Dpkg::Options::=--path-exclude=/usr/share/gitweb/* \
    --option Dpkg::Options::=--path-exclude=/usr/*/git-shell \
    --option Dpkg::Options::=--path-exclude=/usr/*/scalar \
    --option Dpkg::Options::=--path-exclude=/usr/lib/git-core/git-daemon \
    --option Dpkg::Options::=--path-exclude=/usr/lib/git-core/git-http-[bfp]* \
    --option Dpkg::Options::=--path-exclude=/usr/lib/git-core/git-imap-send \
    docker-buildx docker-cli docker-compose git git-lfs openssh-client wrk \
    && ln --symbolic --force ../../bin/git /usr/lib/git-core/git \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/bench-action /opt/bench-action
COPY entrypoint.sh post-entrypoint.sh /
ENV PATH=/opt/bench-action/bin:$PATH
LABEL bench-action.tool=""
ENTRYPOINT ["/entrypoint.sh"]
