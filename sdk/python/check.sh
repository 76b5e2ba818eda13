#!/usr/bin/env bash
# Everything that must hold for this package, quickly.
#   check.sh [ARGUMENTS OF PYTEST…]
# Works in the virtual environment $OPENAUTOGLM_VENV, or in .venv here; makes it when missing.
set -euo pipefail
cd "$(dirname "$0")"

venv=${OPENAUTOGLM_VENV:-$PWD/.venv}
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"

# The stamp names what was installed from here; installing again takes seconds that add up.
stamp=$venv/.openautoglm-dev
wanted=$(printf '%s ' "$PWD" "$(cksum <pyproject.toml)")
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
    printf '%s' "$wanted" >"$stamp"
fi

"$venv/bin/python" -m ruff check .
"$venv/bin/python" -m ruff format --check --quiet .
"$venv/bin/python" -m mypy
exec "$venv/bin/python" -m pytest -q "$@"
