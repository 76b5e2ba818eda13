#!/usr/bin/env bash
# Builds the product and becomes it: `run.sh --data DIR --port N`.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

"$root/scripts/setup.sh" run
PATH=${CARGO_HOME:-${HOME:-}/.cargo}/bin:$PATH

target=${CARGO_TARGET_DIR:-$root/target}
[ -x "$target/release/openautoglm" ] || say "building; the first time takes some minutes"

# In the background, so that a signal ends the build at once and not after it.
(cd "$root" && exec cargo build --quiet --locked --release -p openautoglm) &
build=$!
trap 'kill "$build" 2>/dev/null; wait "$build"; exit 143' TERM
trap 'kill "$build" 2>/dev/null; wait "$build"; exit 130' INT
wait "$build" || die "the product does not build"
trap - TERM INT

# Should make be killed outright, the product is asked to end instead of being left behind.
command=("$target/release/openautoglm" up "$@")
if setpriv --pdeathsig TERM true 2>/dev/null; then
    command=(setpriv --pdeathsig TERM "${command[@]}")
fi
exec "${command[@]}"
