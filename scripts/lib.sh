# shellcheck shell=bash
# What the scripts share. Sourced, never run.

# shellcheck disable=SC2034  # for those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Where things live that outlast a clone: compiled dependencies, virtual environments. Empty when
# nothing outside the clone can be written.
cache_dir() {
    local dir=${OPENAUTOGLM_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/openautoglm}
    case $dir in
        /?*) if mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ]; then printf '%s' "$dir"; fi ;;
    esac
}
