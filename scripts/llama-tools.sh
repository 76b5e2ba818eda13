#!/usr/bin/env bash
# Builds what llama.cpp measures itself with against the libraries that the engine loads:
#   llama-tools.sh SOURCES DIR    leaves llama-bench, llama-batched-bench and llama-quantize in DIR
# The crate brings no sources of tools: SOURCES is a tree of llama.cpp as old as the crate's.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# Where the crate's sources are, and where its libraries were built.
places() {
    python3 -c '
import json, sys

for line in sys.stdin:
    said = json.loads(line)
    if said["reason"] == "build-script-executed" and "llama-cpp-sys-2" in said["package_id"]:
        print(said["out_dir"])
' < <(cargo build --release --locked -p oag-bench --features llama --message-format json)
    cargo metadata --format-version 1 --locked --all-features | python3 -c '
import json, pathlib, sys

for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "llama-cpp-sys-2":
        print(pathlib.Path(package["manifest_path"]).parent / "llama.cpp")
'
}

version() {
    sed -n 's/^set(LLAMA_VERSION_[A-Z]* \([0-9]*\))$/\1/p' "$1/CMakeLists.txt" | paste -sd.
}

main() {
    [ $# = 2 ] || die "two arguments are needed: a tree of llama.cpp, and where the tools go"
    local sources into built crate tool
    sources=$(cd "$1" && pwd)
    mkdir -p "$2"
    into=$(cd "$2" && pwd)
    cd "$root"
    { read -r built && read -r crate; } < <(places) || die "the crate of llama.cpp was not built"
    [ "$(version "$sources")" = "$(version "$crate")" ] ||
        die "$1 is llama.cpp $(version "$sources"), the crate has $(version "$crate")" \
            "take a tree of that version from https://github.com/ggml-org/llama.cpp"
    for tool in llama-bench batched-bench quantize; do
        say "building $tool"
        # Headers are the crate's: a tool that does not fit its libraries does not compile.
        g++ -std=c++17 -O3 -DNDEBUG -w \
            -I"$crate/include" -I"$crate/ggml/include" -I"$crate/common" -I"$crate/vendor" \
            "$sources/tools/$tool/$tool.cpp" "$sources/tools/$tool/main.cpp" \
            "$built/build/common/libllama-common-base.a" \
            -L"$built/lib" -Wl,--disable-new-dtags,-rpath,"$built/lib" \
            -lllama-common -lllama -lggml -lggml-base \
            -o "$into/llama-${tool#llama-}"
    done
}

main "$@"
