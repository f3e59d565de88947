#!/usr/bin/env bash
# Builds the proxy with profile-guided optimisation, at target/pgo/sluicegate: a build that counts, the loads of the comparison put on
# it, and a build that knows what they showed. Takes three times as long as `make release`, and LLVM's tools at the version of the
# compiler's: rustup's component llvm-tools, or Debian's package, which takes root.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$PWD/target/pgo
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')

profdata=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[[ -x $profdata ]] || profdata=llvm-profdata-$llvm
if ! command -v "$profdata" >/dev/null; then
  echo "== installing llvm-$llvm"
  if ! (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "llvm-$llvm") >/dev/null; then
    echo "profiles are read by LLVM's tools: rustup component add llvm-tools, or the package llvm-$llvm" >&2
    exit 1
  fi
fi

# With a target named, what runs while building is left as it is. What has much to do stands together, and so takes few pages.
build() { # FOLDER FLAG
  RUSTFLAGS="$2 -Clink-arg=-Wl,-z,keep-text-section-prefix" \
    cargo build --release --package sluicegate --target "$host" --target-dir "$folder/$1"
}
counting=$folder/counting/$host/release/sluicegate
profiled=$folder/profiled/$host/release/sluicegate
load() { # COLUMNS
  LLVM_PROFILE_FILE=$folder/load/$1/%p target/release/sluicegate-bench compare --binary "$counting" \
    --contenders sluicegate,sluicegate-no-op,sluicegate-hooks --only "$1" --rounds 1 --late-max 1 --stolen-max inf --output "$folder/load" >/dev/null
}

echo "== building the proxy so that it counts"
build counting "-Cprofile-generate"
cargo build --release --package sluicegate-bench
rm -rf "$folder/load"
# Compiling plugins would count for more than all that comes after it. From here on they are in the cache.
load none
load message
load request
load handshake
# There are some fifty times as many messages, and requests, as handshakes.
handshakes=("$folder"/load/handshake/*)
"$profdata" merge --output "$folder/profile" "$folder"/load/{message,request}/* "${handshakes[@]/#/--weighted-input=50,}"
rm -rf "$folder/load"

echo "== building the proxy once more, by its profile"
# Cargo does not look whether the profile is another.
rm -rf "$folder/profiled"
build profiled "-Cprofile-use=$folder/profile"
cp "$profiled" "$folder/sluicegate"
echo "== $folder/sluicegate"
