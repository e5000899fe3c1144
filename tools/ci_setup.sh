#!/usr/bin/env bash
# Install what some tests need beside Python: servers that they start themselves, a C compiler and
# strace, to see and to break what a process does to its files. Does nothing where they are present,
# and only says so where they cannot be installed: a test that needs one fails with its name.
set -euo pipefail

missing=()
command -v redis-server >/dev/null 2>&1 || missing+=(redis-server)
if ! command -v postgres >/dev/null 2>&1 && ! compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then
  missing+=(postgresql)
fi
command -v cc >/dev/null 2>&1 || missing+=(gcc libc6-dev)
command -v strace >/dev/null 2>&1 || missing+=(strace)
if [ ${#missing[@]} -eq 0 ]; then
  echo "tools: redis-server, postgres, cc and strace are installed"
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "tools: missing ${missing[*]}; install them with the package manager of this system"
  exit 0
fi
echo "tools: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }; then
  echo "tools: could not install ${missing[*]}; tests that need them will fail and name them" >&2
fi
