#!/bin/bash
# Bash, because dash drops variables with a hyphen in their name, such as INPUT_GITHUB-TOKEN. `exec`, because process 1
# receives the signals of a cancelled job, and must clean up.
set -euo pipefail
exec bench-action action
