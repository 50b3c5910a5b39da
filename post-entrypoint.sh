#!/bin/bash
# A container of its own that the runner starts after the step, however that ended: a killed step has cleaned nothing up.
set -euo pipefail
exec bench-action action --sweep
