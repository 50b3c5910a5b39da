# A stand-in for python:3.13-slim: Python 3.13 with pip, first on PATH as python and python3, running as root.
FROM bench-action-standin:trixie
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
# Debian does not let pip install into the system's Python; users of the official image expect that it can.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends netbase python3.13 python3-pip python3-venv tzdata \
 && rm -rf /var/lib/apt/lists/* /usr/lib/python3.13/EXTERNALLY-MANAGED \
 && ln -s /usr/bin/python3.13 /usr/local/bin/python3 \
 && ln -s /usr/bin/python3.13 /usr/local/bin/python \
 && python -c 'import ctypes, sqlite3, ssl, venv, zlib' \
 && pip --version
CMD ["python3"]
