#!/bin/sh
# Makes target/plugins/javascript.wasm of plugin.js, with a compiler from npm at its pinned version; does nothing where it is
# there already, made of the same files.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=$here/../../target
work=$target/examples/javascript
made=$target/plugins/javascript.wasm

main() {
    mkdir -p "$work/wit/deps" "$target/plugins"
    # One at a time: tests may ask for it at once.
    exec 9>"$work/lock"
    flock 9
    # The contract is this repository's; the world of one plugin stands beside it.
    rm -rf "$work/wit/deps/sluicegate-hooks"
    cp -R "$here/../../wit" "$work/wit/deps/sluicegate-hooks"
    cp "$here/wit/world.wit" "$work/wit/"
    cp "$here/plugin.js" "$here/build.mjs" "$work/"
    install_compiler
    wanted=$(cat "$here"/plugin.js "$here"/build.mjs "$here"/package-lock.json "$here"/wit/*.wit "$here"/../../wit/*.wit | cksum)
    [ -f "$made" ] && [ "$wanted" = "$(cat "$work/made" 2>/dev/null)" ] && return 0
    echo "== building the example plugin in JavaScript"
    node "$work/build.mjs" "$work/wit" "$made"
    echo "$wanted" >"$work/made"
}

install_compiler() {
    wanted=$(cat "$here/package.json" "$here/package-lock.json" | cksum)
    [ "$wanted" = "$(cat "$work/installed" 2>/dev/null)" ] && return 0
    command -v npm >/dev/null || {
        echo "node and npm are needed: tests/peers/setup.sh installs them" >&2
        exit 1
    }
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/"
    (cd "$work" && npm ci --silent --ignore-scripts)
    echo "$wanted" >"$work/installed"
}

main
