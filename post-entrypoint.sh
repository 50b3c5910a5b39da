#!/bin/bash
# The runner starts this in a separate container after the step, even if that was killed and could not clean up.
set -euo pipefail
exec bench-action action --sweep 2>&1
