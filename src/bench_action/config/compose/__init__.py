"""The compose file as the description of services and variants, read by `docker compose config`.

find → check what it may read → run → parse → choose what each service is for → convert → merge with `bench.yml`
"""
