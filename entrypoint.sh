#!/bin/bash
# Bash, because dash drops variables with a hyphen in their name, such as INPUT_GITHUB-TOKEN. `exec`, because process 1
# receives the signals of a cancelled job, and must clean up. One stream, because the runner reads two in parallel, and could
# read what is printed on one before the command on the other that makes it plain text.
set -euo pipefail
exec bench-action action 2>&1
