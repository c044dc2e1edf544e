#!/usr/bin/env bash
# Installs what building and testing need and the machine lacks: Debian packages by apt, npm
# packages by npm. May be run any number of times; does nothing where nothing is missing. Where it
# cannot install, it prints the command that would, and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'install: %s\n' "$*"; }

# command → Debian package that brings it
declare -A packages=(
    [cc]=build-essential
    [chromium]=chromium
    [sqlite3]=sqlite3
    [curl]=curl
    [openssl]=openssl
    [node]=nodejs
    [npm]=npm
)

missing=()
for command in "${!packages[@]}"; do
    command -v "$command" >/dev/null || missing+=("${packages[$command]}")
done

if [ "${#missing[@]}" -gt 0 ]; then
    install=(apt-get install -y --no-install-recommends "${missing[@]}")
    if ! command -v apt-get >/dev/null; then
        say "missing, and there is no apt-get here: ${missing[*]}"
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive "${install[@]}"
    elif sudo -n true 2>/dev/null; then
        sudo -n apt-get update -q
        sudo -n DEBIAN_FRONTEND=noninteractive "${install[@]}"
    else
        say "this needs root; run: sudo apt-get update && sudo ${install[*]}"
        exit 1
    fi
fi

node_major=$(node --version | sed 's/^v//; s/\..*//')
if [ "$node_major" -lt 20 ]; then
    say "Node.js 20 or newer is needed, this is $(node --version); Debian 13's nodejs package will do"
    exit 1
fi

if ! command -v cargo >/dev/null; then
    say "Rust is missing; run: curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- --default-toolchain none"
    say "(rustup then takes the version from rust-toolchain.toml by itself)"
    exit 1
fi

# npm ci empties node_modules first, so it runs only when the lock file is not the installed one.
stamp=node_modules/.installed-from
if ! cmp -s package-lock.json "$stamp"; then
    npm ci --no-audit --no-fund
    cp package-lock.json "$stamp"
fi
