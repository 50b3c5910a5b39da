#!/bin/bash
# Bash, as dash drops variables with a hyphen in their name on exec, and inputs are called INPUT_GITHUB-TOKEN. `exec`, as
# the process with number 1 gets the signals of a cancelled job, and cleans up.
set -euo pipefail
exec bench-action action
