#!/usr/bin/env bash
# Find words that are not plain English, and spelling mistakes: check-words.sh [FILE…], all files of the repository without one.
# The list stands in CONTRIBUTING.md, between ```words and ```: one `not->but` a line.
set -euo pipefail
cd "$(dirname "$0")/.."

list=$(mktemp)
trap 'rm -f "$list"' EXIT
# shellcheck disable=SC2016  # backquotes are the document's
sed -n '/^```words$/,/^```$/{ /->/p }' CONTRIBUTING.md > "$list"
phrases=$(sed 's/->.*//' "$list" | grep ' ' | paste -sd '|')

[ $# -gt 0 ] || mapfile -t -d '' files < <(git ls-files -z -- ':!*.json' ':!*.jsonl' ':!*.gz' ':!*.png' ':!*.txt' ':!LICENSE' ':!examples/django/seed.sql')
[ $# -eq 0 ] || files=("$@")
# names in code are split into words at their underscores
# shellcheck disable=SC2016
.venv/bin/codespell --dictionary - --dictionary "$list" --regex "(?i)\b(?:$phrases)\b|[a-z]+(?:['’][a-z]+)?" \
    --ignore-multiline-regex '```words\n.*?\n```' "${files[@]}"
