#!/usr/bin/env bash
# Installs what is missing and nothing else.
#   setup.sh run    what building and running the product takes
#   setup.sh llama  that, and what building it with the feature `llama` takes
#   setup.sh test   that, and what `make test` takes
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

DENY_VERSION=0.20.2
DENY_ROOT=${CARGO_HOME:-${HOME:-}/.cargo}

needs_rust() {
    [ -x "$DENY_ROOT/bin/cargo" ] && PATH=$DENY_ROOT/bin:$PATH
    has cargo || die "cargo is not installed" "install Rust from https://rustup.rs, then try again"
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n1)" = "$wanted" ] ||
        die "Rust $have is older than $wanted" "rustup update stable"
}

needs_components() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    has rustup || die "rustfmt or clippy is missing" "install both beside cargo"
    rustup component add rustfmt clippy
}

# The Debian packages that are missing, one per line.
missing_for_run() {
    has cc || echo gcc
    [ -e /usr/include/stdio.h ] || echo libc6-dev
}

# What the feature `llama` takes beside that: C++, CMake, and libclang for its bindings.
missing_for_llama() {
    has g++ || echo g++
    has cmake || echo cmake
    has make || echo make
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib/*/libclang*.so*' >/dev/null || echo libclang-14-dev
}

missing_for_test() {
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || echo postgresql-15
    [ -n "${CHROMIUM:-}" ] || has chromium || echo chromium
    has shellcheck || echo shellcheck
    has promtool || echo prometheus
    has setpriv || echo util-linux
    has python3 || echo python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    has node || echo nodejs
    has npm || echo npm
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian starts the daemons of what it installs; nothing here wants them.
guard=/usr/sbin/policy-rc.d
remove_guard() { as_root rm -f "$guard"; }
keep_daemons_off() {
    [ -e "$guard" ] && return
    trap remove_guard EXIT
    # shellcheck disable=SC2016  # expanded by the inner shell
    as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$guard"
}

apt_install() {
    local options=(-y --no-install-recommends -o DPkg::Lock::Timeout=300)
    has apt-get || die "missing: $*" "install them with this system's package manager"
    [ "$(id -u)" = 0 ] || has sudo || die "missing: $*" "as root: apt-get install $*"
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    keep_daemons_off
    # Lists that are absent or stale make the first attempt fail.
    as_root apt-get install "${options[@]}" "$@" >/dev/null 2>&1 && return
    as_root apt-get update -q
    as_root apt-get install "${options[@]}" "$@"
}

needs_packages() {
    local packages
    mapfile -t packages < <("$@")
    [ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
}

# Unoptimised: it compiles in a minute and runs for seconds.
needs_cargo_deny() {
    [ "$(cargo deny --version 2>/dev/null)" = "cargo-deny $DENY_VERSION" ] && return
    say "installing cargo-deny $DENY_VERSION (a minute or two, once per machine)"
    local target
    target=$(mktemp -d)
    CARGO_TARGET_DIR=$target cargo install cargo-deny --version "$DENY_VERSION" --locked --quiet \
        --no-default-features --profile dev --config 'profile.dev.debug=false'
    rm -rf "$target"
}

case ${1:-} in
    run)
        needs_packages missing_for_run
        needs_rust
        ;;
    llama)
        needs_packages missing_for_run
        needs_packages missing_for_llama
        needs_rust
        ;;
    test)
        needs_packages missing_for_run
        needs_packages missing_for_test
        needs_rust
        needs_components
        needs_cargo_deny
        ;;
    *) die "usage: setup.sh run|llama|test" ;;
esac
