#!/usr/bin/env bash
# Makes sure that something here compiles for wasm32-unknown-unknown. Where cargo's own compiler has the target (rustup brings
# it, as rust-toolchain.toml names it), there is nothing to do; else Debian's packages are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(rustc-web cargo-web rust-web-src lld-19)

found=$(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null || true)
[[ -n $found && -d $found ]] && exit 0
dpkg -s "${packages[@]}" >/dev/null 2>&1 && exit 0

as_root=()
((EUID == 0)) || as_root=(sudo)
if ! command -v apt-get >/dev/null; then
  echo "no compiler for wasm32-unknown-unknown: with rustup, 'rustup target add wasm32-unknown-unknown'" >&2
  exit 1
fi
echo "== installing a compiler for WebAssembly: ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
