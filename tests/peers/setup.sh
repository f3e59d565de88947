#!/bin/sh
# Installs the peers of the integration tests that come from npm (package.json) and from PyPI (requirements.txt), at
# their pinned versions below target/peers; does nothing where they are there already. What the machine lacks (node,
# npm, python3 with venv, curl, openssl, Redis, the browser and the MQTT broker of two tests) is installed with apt-get, which
# takes root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
peers=$here/../../target/peers

main() {
    install_missing_packages
    mkdir -p "$peers"
    install node_modules "$here/package.json" "$here/package-lock.json" "$here/.npmrc"
    install websockets "$here/requirements.txt"
}

# install NAME FILE...: run install_NAME unless it has run with these files already.
install() {
    name=$1
    shift
    wanted=$(cat "$@" | cksum)
    [ "$wanted" = "$(cat "$peers/$name.installed" 2>/dev/null)" ] && return 0
    "install_$name" "$@"
    echo "$wanted" >"$peers/$name.installed"
}

install_node_modules() {
    cp "$@" "$peers/"
    (cd "$peers" && npm ci --silent)
}

install_websockets() {
    rm -rf "$peers/venv"
    python3 -m venv "$peers/venv"
    "$peers/venv/bin/pip" install --quiet --disable-pip-version-check -r "$1"
}

install_missing_packages() {
    missing=
    command -v curl >/dev/null || missing="$missing curl"
    # Makes the certificate of an example.
    command -v openssl >/dev/null || missing="$missing openssl"
    command -v node >/dev/null || missing="$missing nodejs"
    command -v redis-server >/dev/null || missing="$missing redis-server"
    command -v npm >/dev/null || missing="$missing npm"
    command -v chromium >/dev/null || missing="$missing chromium"
    # Its folder is on the path of root only.
    command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
    # Debian's python3 comes without the two modules that make an environment.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3 python3-venv"
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "the integration tests need:$missing; install them, or run $0 as root where apt-get is" >&2
        exit 1
    fi
    apt-get update -qq
    # shellcheck disable=SC2086  # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

main
