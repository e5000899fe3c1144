#!/usr/bin/env bash
# Install the servers some tests start themselves. Does nothing where they are present, and only
# says so where they cannot be installed: a test that needs one fails with its name.
set -euo pipefail

missing=()
command -v redis-server >/dev/null 2>&1 || missing+=(redis-server)
if ! command -v postgres >/dev/null 2>&1 && ! compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then
  missing+=(postgresql)
fi
if [ ${#missing[@]} -eq 0 ]; then
  echo "servers: redis-server and postgres are installed"
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "servers: missing ${missing[*]}; install them with the package manager of this system"
  exit 0
fi
echo "servers: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }; then
  echo "servers: could not install ${missing[*]}; tests that need them will fail and name them" >&2
fi
