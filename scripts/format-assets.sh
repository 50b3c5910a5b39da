#!/usr/bin/env bash
# format-assets.sh --check|--write: check or fix the format of style sheets and scripts, with prettier.
set -euo pipefail
cd "$(dirname "$0")/.."

sha512=ef4be9dd9518a0f9456c5f6e8937571d4502184229edde3eea9fbc0d86e49b68cfef1ff78bfa5a5d517a768a52237cddfc2122b6b64dd6b7388bce715a699796
prettier=$(scripts/npm-package.sh prettier 3.10.1 "$sha512")
node "$prettier/bin/prettier.cjs" --no-config --print-width 120 --log-level warn "$1" src/bench_action/report/static/* src/bench_action/load/*.js examples/*/load/*.js scripts/*.mjs
