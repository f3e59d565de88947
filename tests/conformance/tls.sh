#!/usr/bin/env bash
# What sslyze finds wrong with a listener at default settings, where only `tls` is given: nothing, or this fails.
#
#   SLUICEGATE_BIN   the proxy, target/release/sluicegate by default
#
# sslyze is installed into target/sslyze the first time. Exit code: 0 nothing is wrong, 1 something is, 2 something is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly sslyze_version=6.3.1
proxy=${SLUICEGATE_BIN:-target/release/sluicegate}
tools=target/sslyze
out=target/conformance-tls

main() {
  [[ -x $proxy ]] || missing "$proxy: make release"
  install_sslyze
  mkdir -p "$out"
  examples/nginx-guide/tls.sh
  start_proxy
  "$tools/bin/sslyze" --json_out="$out/report.json" --mozilla_config=disable --sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 \
    --tlsv1_3 --heartbleed --openssl_ccs --reneg --compression --fallback --early_data --robot "$address" >"$out/sslyze.log"
  "$tools/bin/python" tests/conformance/tls_findings.py "$out/report.json"
}

missing() {
  echo "the check of TLS needs $*" >&2
  exit 2
}

install_sslyze() {
  [[ -x $tools/bin/sslyze ]] && return
  python3 -m venv "$tools" || missing "python3-venv"
  "$tools/bin/pip" install --quiet "sslyze==$sslyze_version"
}

start_proxy() {
  local certificates=$PWD/examples/nginx-guide/certificates log line
  cat >"$out/sluicegate.toml" <<END
[[listener]]
address = "127.0.0.1:0"
tls = { certificate = "$certificates/localhost.pem", key = "$certificates/localhost-key.pem" }

[[upstream]]
name = "nobody"
servers = ["127.0.0.1:1"]

[[route]]
upstream = "nobody"
END
  exec {log}< <(NO_COLOR=1 exec "$proxy" run --config "$out/sluicegate.toml" 2>&1)
  trap "kill $!" EXIT
  until [[ ${line:-} == *listening*address=* ]]; do
    read -r line <&"$log" || missing "a proxy that starts: $line"
  done
  address=${line##*address=}
  address=${address%% *}
  cat <&"$log" >"$out/proxy.log" &
  disown
}

main
