#!/usr/bin/env bash
# Runs an example: three chat servers on 127.0.0.1:9001 to 9003 and the proxy with the given configuration on
# 127.0.0.1:8080, after the script of the configuration's name where there is one. Says what to try, which is what the
# configuration's first comment says, and stops everything on Ctrl-C.
#
#   examples/run.sh examples/nginx-guide/upgrade.toml
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
profile=${PROFILE:-release}            # cargo's folder of the binaries
proxy=$root/target/$profile/sluicegate
chat=$root/target/$profile/sluicegate-chat
proxy_port=8080
chat_ports=(9001 9002 9003)
chat_names=(one two three)
stop_s=5            # for the processes to end by themselves
pids=()

main() {
    [[ $# -eq 1 ]] || fail "usage: examples/run.sh CONFIG"
    local config=$1 port index
    [[ -f $config ]] || fail "no such file: $config"
    for program in "$proxy" "$chat"; do
        [[ -x $program ]] || fail "$program is missing: 'make run' builds it"
    done
    for port in "$proxy_port" "${chat_ports[@]}"; do
        ! is_open "$port" || fail "port $port is taken: 'ss -ltnp sport = :$port' shows by what; stop it and try again"
    done

    if [[ -x ${config%.toml}.sh ]]; then
        "${config%.toml}.sh"
    fi
    trap stop EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for index in "${!chat_ports[@]}"; do
        start "$chat" --listen "127.0.0.1:${chat_ports[index]}" --name "${chat_names[index]}"
    done
    start "$proxy" run --config "$config"
    for port in "${chat_ports[@]}" "$proxy_port"; do
        until answers "$port"; do
            all_run || fail "a process ended before all were ready; its last words are above"
            sleep 0.05
        done
    done

    printf '\n'
    sed -n '/^#/!q; s/^# \{0,1\}//p' "$config"
    printf '\nCtrl-C stops everything.\n\n'
    wait -n "${pids[@]}" || true
    fail "a process ended; its last words are above"
}

start() {
    "$@" &
    pids+=($!)
}

all_run() {
    local pid
    for pid in "${pids[@]}"; do
        kill -0 "$pid" 2>/dev/null || return 1
    done
}

is_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Any HTTP answer will do: a configuration need not have a route for this request.
answers() {
    local line
    line=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
        printf 'GET /health HTTP/1.1\r\nhost: 127.0.0.1:%s\r\nconnection: close\r\n\r\n' "$1" >&3
        IFS= read -r -t 5 line <&3
        printf '%s' "$line"
    ) && [[ $line == HTTP/1.1\ * ]]
}

# The last first: the proxy says goodbye to its clients before the servers behind it go.
stop() {
    trap - EXIT INT TERM HUP
    local index pid deadline=$((SECONDS + stop_s))
    for ((index = ${#pids[@]} - 1; index >= 0; index--)); do
        pid=${pids[index]}
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

main "$@"
