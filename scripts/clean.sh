#!/usr/bin/env bash
# Removes what was built. Data directories stay.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$root"
rm -rf target testkit/browser/node_modules conformance/node/node_modules
cache=$(cache_dir)
[ -z "$cache" ] || rm -rf "$cache/target" "$cache"/python-*
