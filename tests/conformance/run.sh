#!/usr/bin/env bash
# Autobahn's fuzzing client (RFC 6455, RFC 7692) against an echo server, reached directly and through the proxy: with nobody
# looking inside, with a plugin that passes every message on, and with one that replaces every message by itself. Prints
# a line for each; no case may end worse through the proxy than directly.
#
#   CASES    patterns such as '1.* 12.1.*'; all by default, which takes an hour
#   WSTEST   Autobahn's wstest, where it is not on the path
#   JOBS     how many run at once, 2 by default
#
# Reports are left in target/conformance. Exit code: 0 no case is worse, 1 some are, 2 something is missing.
set -euo pipefail
set -f # Patterns of cases are not names of files.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

wstest=${WSTEST:-wstest}
proxy=${SLUICEGATE_BIN:-target/release/sluicegate}
plugins=target/plugins
out=target/conformance
modes=(relay forward replace)
cases=${CASES:-*}

main() {
  check_tools
  rm -rf "$out"
  mkdir -p "$out"
  trap 'kill "${started[@]}" 2>/dev/null' EXIT
  start_echo
  start_proxy
  local agent running=()
  for agent in direct "${modes[@]}"; do
    run_cases "$agent" &
    running+=($!)
    ((${#running[@]} % ${JOBS:-2})) || wait "${running[@]}"
  done
  wait "${running[@]}"
  python3 tests/conformance/compare.py "$out" direct "${modes[@]}"
}

check_tools() {
  command -v "$wstest" >/dev/null || missing "wstest, Autobahn's test suite, which runs on Python 2.7:" \
    "virtualenv -p python2.7 DIR; DIR/bin/pip install autobahntestsuite; then WSTEST=DIR/bin/wstest"
  [[ -x $proxy ]] || missing "$proxy: make release"
  [[ -d target/peers/node_modules/ws ]] || missing "the echo server's library: make setup-peers"
  [[ -f $plugins/test-forward.wasm && -f $plugins/test-stamp.wasm ]] ||
    "$proxy" plugin build tests/plugins/forward tests/plugins/stamp
}

missing() {
  echo "conformance needs $*" >&2
  exit 2
}

started=()

# The server ends with its standard input, which is kept open here, and tells its port.
start_echo() {
  mkfifo "$out/echo.input"
  local input output line
  exec {input}<>"$out/echo.input"
  exec {output}< <(NODE_PATH=target/peers/node_modules exec node tests/peers/deflate-echo.js <&"$input" 2>"$out/echo.log")
  started+=($!)
  read -r line <&"$output"
  echo_port=$(tr -dc '0-9' <<<"$line")
}

# The limits leave room for the largest cases: messages of 16 MiB, and of 65,536 fragments.
start_proxy() {
  local route='limits = { message-bytes-max = "32MiB", fragments-max = 100000 }' log line
  cat >"$out/sluicegate.toml" <<EOF
[[listener]]
address = "127.0.0.1:0"

[[plugin]]
name = "forward"
file = "$PWD/$plugins/test-forward.wasm"
memory-max = "256MiB"
call-time-max = "2s"

[[plugin]]
name = "replace"
file = "$PWD/$plugins/test-stamp.wasm"
settings = { mark = "" }
memory-max = "256MiB"
call-time-max = "2s"

[[upstream]]
name = "echo"
servers = ["127.0.0.1:$echo_port"]

[[route]]
path = "/relay"
upstream = "echo"
$route

[[route]]
path = "/forward"
upstream = "echo"
plugins = ["forward"]
$route

[[route]]
path = "/replace"
upstream = "echo"
plugins = ["replace"]
$route
EOF
  exec {log}< <(NO_COLOR=1 exec "$proxy" run --config "$out/sluicegate.toml" 2>&1)
  started+=($!)
  until [[ ${line:-} == *listening*address=* ]]; do
    read -r line <&"$log" || missing "a proxy that starts: $line"
  done
  proxy_address=${line##*address=}
  proxy_address=${proxy_address%% *}
  cat <&"$log" >"$out/proxy.log" &
  disown
}

run_cases() {
  local agent=$1 url=ws://$proxy_address/$1 list
  [[ $agent != direct ]] || url=ws://127.0.0.1:$echo_port/
  list=$(printf '"%s", ' $cases)
  cat >"$out/$agent.json" <<EOF
{
  "outdir": "$out/$agent",
  "servers": [{ "agent": "$agent", "url": "$url" }],
  "cases": [${list%, }],
  "exclude-cases": [],
  "exclude-agent-cases": {}
}
EOF
  "$wstest" --mode fuzzingclient --spec "$out/$agent.json" >"$out/$agent.log" 2>&1
}

main
