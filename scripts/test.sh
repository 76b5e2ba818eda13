#!/usr/bin/env bash
# Everything that must hold, in order; stops at the first stage that fails.
#   test.sh [STAGE…]   only these, in this order
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

STAGES=(setup scripts fmt check deny clippy test doc deploy python live conformance browser edge engines)
STAGE_LIMIT_S=${STAGE_LIMIT_S:-3600}
CACHE_LIMIT_MB=25000

stage_setup() { scripts/setup.sh test; }

stage_scripts() { shellcheck -x scripts/*.sh .ci/run; }

stage_fmt() { cargo fmt --all --check; }

stage_check() { cargo xtask check; }

# Advisories need a network that reaches their database: see CONTRIBUTING.md.
stage_deny() { cargo deny --workspace --locked check bans licenses sources; }

stage_clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }

stage_test() { cargo test --workspace --locked --no-fail-fast; }

stage_doc() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked; }

stage_deploy() {
    promtool check config --syntax-only deploy/prometheus/scrape.yml
    promtool check rules deploy/prometheus/alerts.yml
    promtool test rules deploy/prometheus/alerts_test.yml
}

# The binary that `cargo test` left; building it by itself would compile other features anew.
product() {
    cargo test --workspace --locked --no-run --quiet
    OPENAUTOGLM_BIN=${CARGO_TARGET_DIR:-$root/target}/debug/openautoglm
    export OPENAUTOGLM_BIN
}

# What the SDK and its tests depend on, without the SDK itself, which is read from the clone.
python_requirements() {
    python3 - <<'END'
import tomllib

with open("sdk/python/pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
print("\n".join(project.get("dependencies", []) + project["optional-dependencies"]["test"]))
END
}

# Sets `environment` to a Python with what the SDK and its tests need.
python_environment() { environment_of "$(python_requirements)"; }

# A virtual environment with these packages, kept for the next time.
environment_of() {
    local base
    base=$(cache_dir)
    environment=${base:-$root/target}/python-$(sha256sum <<<"$1" | cut -c1-12)
    if [ ! -e "$environment/complete" ]; then
        rm -rf "$environment"
        python3 -m venv "$environment"
        "$environment/bin/pip" install --quiet --disable-pip-version-check -r /dev/stdin <<<"$1"
        touch "$environment/complete"
    fi
}

# What ruff, mypy and pytest look at is said in sdk/python/pyproject.toml.
stage_python() {
    local environment
    python_environment
    cd sdk/python
    "$environment/bin/ruff" check --no-cache .
    "$environment/bin/mypy" --cache-dir /dev/null
    PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 "$environment/bin/pytest" -p no:cacheprovider
}

# Runs published clients against OPENAUTOGLM_BIN.
conform() {
    environment_of "$(cat conformance/requirements.txt)"
    # litellm would fetch its prices otherwise.
    (cd conformance && LITELLM_LOCAL_MODEL_COST_MAP=True PYTHONDONTWRITEBYTECODE=1 \
        "$environment/bin/pytest" -p no:cacheprovider -q "$@")
}

# Clients of OpenAI's and Anthropic's APIs, as their projects publish them, against the real product.
stage_conformance() {
    local environment
    product
    python_environment
    "$environment/bin/ruff" check --no-cache conformance
    "$environment/bin/ruff" format --no-cache --check conformance
    node_modules conformance/node
    conform --ignore local
}

# The SDK against the real product, which is started for it and ended by its own pid.
stage_live() {
    product
    local environment data pid address status=0
    python_environment
    data=$(mktemp -d)
    XDG_STATE_HOME=$data/state "$OPENAUTOGLM_BIN" up --data "$data/data" --port 0 >"$data/log" 2>&1 &
    pid=$!
    for _ in $(seq 300); do
        [ ! -s "$data/data/run.json" ] || break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$data/data/run.json") || status=$?
    if [ "$status" = 0 ]; then
        (
            cd sdk/python
            OPENAUTOGLM_URL=http://$address OPENAUTOGLM_API_KEY=$(cat "$data/data/admin.key") \
                PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 \
                "$environment/bin/pytest" -p no:cacheprovider tests/live
        ) || status=$?
    fi
    kill "$pid" 2>/dev/null || :
    wait "$pid" || :
    [ "$status" = 0 ] || tail -n 50 "$data/log"
    rm -rf "$data"
    return "$status"
}

# Installs what a folder of tests for Node depends on.
node_modules() {
    cmp -s "$1/package-lock.json" "$1/node_modules/.installed" || {
        (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
        cp "$1/package-lock.json" "$1/node_modules/.installed"
    }
}

stage_browser() {
    product
    node_modules testkit/browser
    cd testkit/browser
    node --test --test-reporter=spec ./*.test.mjs
}

# What runs models here, which the product's first build leaves out: the models of
# `adapters/engine/tests/data` by llama.cpp and by tract, in their own crate, in workers, and where
# llama.cpp's is measured. All packages are named each time: with another choice of them llama.cpp is
# compiled again.
stage_engines() {
    local all=(-p oag-engine -p openautoglm -p oag-bench --locked)
    all+=(--features oag-engine/llama --features openautoglm/llama --features oag-bench/llama)
    all+=(--features oag-engine/onnx --features openautoglm/onnx)
    scripts/setup.sh llama
    cargo clippy "${all[@]}" --all-targets -- -D warnings
    cargo test "${all[@]}" --no-fail-fast -- \
        absent:: engine:: faults:: files:: llama:: local:: models:: onnx:: predict::
    # The product that was built for these tests runs models.
    OPENAUTOGLM_BIN=${CARGO_TARGET_DIR:-$root/target}/debug/openautoglm
    export OPENAUTOGLM_BIN
    conform local
}

# The light node as it is shipped: a build of its own, and what that takes in memory.
stage_edge() {
    cargo build --locked --profile edge -p oag-edge
    OAG_EDGE_BIN=${CARGO_TARGET_DIR:-$root/target}/edge/openautoglm-edge \
        cargo test --workspace --locked --test it -- edge::
}

# --- the frame -----------------------------------------------------------------------------------

prepare() {
    export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0} CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
    PATH=${CARGO_HOME:-${HOME:-}/.cargo}/bin:$PATH
    local cache size
    cache=$(cache_dir)
    if [ -z "${CARGO_TARGET_DIR:-}" ] && [ -n "$cache" ]; then
        export CARGO_TARGET_DIR=$cache/target
        # Every change of dependencies leaves its predecessors behind. Who asks for single stages
        # does not wait for all of it to be built anew.
        size=$(du -sm "$cache" | cut -f1)
        if [ "$1" = all ] && [ "$size" -gt "$CACHE_LIMIT_MB" ]; then
            say "emptying $CARGO_TARGET_DIR, which is above $CACHE_LIMIT_MB MB"
            rm -rf "$CARGO_TARGET_DIR"
        fi
    fi
}

# The tests a log speaks of: cargo, pytest and node, as "PASSED FAILED".
count() {
    awk '
        /^test result: / { passed += $4; failed += $6 }
        /^(=+ )?([0-9]+ [a-z]+, )*[0-9]+ (passed|failed).* in [0-9.]+s/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^failed/) failed += $(i - 1)
            }
        }
        /^(ℹ|#) pass [0-9]+$/ { passed += $3 }
        /^(ℹ|#) fail [0-9]+$/ { failed += $3 }
        END { print passed + 0, failed + 0 }
    ' "$1"
}

logs=
child=
stop() {
    [ -z "$child" ] || kill "$child" 2>/dev/null || :
    exit "$1"
}

# A stage runs in a process group of its own, which ends as one when its time is over.
run_stage() {
    local name=$1 log=$2 viewer status=0
    printf '\n==> %s\n' "$name"
    : >"$log"
    timeout --kill-after=20 "$STAGE_LIMIT_S" "$0" --stage "$name" >"$log" 2>&1 </dev/null &
    child=$!
    tail -n +1 -f -s 0.2 --pid="$child" "$log" &
    viewer=$!
    wait "$child" || status=$?
    child=
    wait "$viewer" || :
    [ "$status" != 124 ] || say "stage $name took longer than $STAGE_LIMIT_S s and was ended"
    return "$status"
}

main() {
    local stages=("$@") name started seconds passed failed result
    local all_passed=0 all_failed=0 broken=
    local which=some
    [ ${#stages[@]} -gt 0 ] || { stages=("${STAGES[@]}") which=all; }
    for name in "${stages[@]}"; do
        declare -F "stage_$name" >/dev/null || die "no stage '$name'" "one of: ${STAGES[*]}"
    done
    prepare "$which"
    logs=$(mktemp -d)
    trap 'rm -rf "$logs"' EXIT
    trap 'stop 130' INT
    trap 'stop 143' TERM
    local table
    table=$(printf '%-10s %-8s %7s %8s %8s' stage result seconds passed failed)
    for name in "${stages[@]}"; do
        if [ -n "$broken" ]; then
            table+=$'\n'$(printf '%-10s %-8s' "$name" 'not run')
            continue
        fi
        started=$SECONDS result=ok
        run_stage "$name" "$logs/$name" || result=FAILED
        seconds=$((SECONDS - started))
        read -r passed failed < <(count "$logs/$name")
        if [ "$result" = FAILED ]; then
            broken=$name
            [ "$failed" -gt 0 ] || failed=1
        fi
        all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
        table+=$'\n'$(printf '%-10s %-8s %7d %8d %8d' "$name" "$result" "$seconds" "$passed" "$failed")
    done
    printf '\n%s\n' "$table"
    [ -z "$broken" ] || printf '\nstage %s failed; alone: make test STAGES=%s\n' "$broken" "$broken"
    printf '\n%d passed, %d failed\n' "$all_passed" "$all_failed"
    [ -z "$broken" ]
}

cd "$root"
if [ "${1:-}" = --stage ]; then
    "stage_$2"
else
    main "$@"
fi
