#!/usr/bin/env bash
# Builds the product and becomes it: `run.sh --data DIR --port N`.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# Should make be killed outright, its child is asked to end too, build or product.
if [ -z "${OPENAUTOGLM_TIED:-}" ] && setpriv --pdeathsig TERM true 2>/dev/null; then
    OPENAUTOGLM_TIED=1 exec setpriv --pdeathsig TERM "$0" "$@"
fi
unset OPENAUTOGLM_TIED

"$root/scripts/setup.sh" run
PATH=${CARGO_HOME:-${HOME:-}/.cargo}/bin:$PATH

target=${CARGO_TARGET_DIR:-$root/target}
quiet=--quiet
if [ ! -x "$target/release/openautoglm" ]; then
    say "building; the first time takes some minutes"
    quiet=
fi

# In the background, so that a signal ends the build at once and not after it.
(cd "$root" && exec cargo build ${quiet:+"$quiet"} --locked --release -p openautoglm) &
build=$!
trap 'kill "$build" 2>/dev/null; wait "$build"; exit 143' TERM
trap 'kill "$build" 2>/dev/null; wait "$build"; exit 130' INT
wait "$build" || die "the product does not build"
trap - TERM INT

exec "$target/release/openautoglm" up "$@"
