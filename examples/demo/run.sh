#!/usr/bin/env bash
# The demo: see sluicegate.toml beside this file.
set -euo pipefail

demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$demo/../run.sh" "$demo/sluicegate.toml"
