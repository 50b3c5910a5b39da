# A stand-in for pypy:3.11-slim: Debian's PyPy 3.11 with pip, first on PATH as pypy3 and python.
FROM bench-action-standin:trixie
ENV PATH=/opt/pypy/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
RUN apt-get update \
 && apt-get install --yes --no-install-recommends netbase pypy3 pypy3-venv tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && pypy3 -m venv /opt/pypy \
 && pypy3 --version && pip --version
CMD ["pypy3"]
