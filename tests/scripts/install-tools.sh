#!/usr/bin/env bash
# Installs what the build and the tests need on this computer:
#   QEMU >= 9 for AArch64, the device tree compiler, U-Boot's mkimage, a Rust
#   toolchain, and a C compiler for AArch64 for the guests' kernel modules.
# Idempotent: prints one line per tool and does nothing when all is there.
#
#   QEMU=/path/to/qemu-system-aarch64   use this one, install nothing
#   STAGEGATE_CACHE=DIR                 where downloads live (default .cache)
#   STAGEGATE_TOOLS="valgrind"          further programs, each from the package
#                                       of its name

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

QEMU_MIN=9

qemu_major() { "$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\)\..*/\1/p'; }

have_qemu() {
    local q=${QEMU:-qemu-system-aarch64} major
    command -v "$q" >/dev/null || return 1
    major=$(qemu_major "$q")
    [ "${major:-0}" -ge $QEMU_MIN ]
}

# Installs PACKAGEs from this release or its backports, without touching the
# machine's own sources.
apt_install() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    private_apt "$(dpkg --print-architecture)" \
        "$codename" "$codename-updates" "$codename-backports"
    private_apt_update
    say "install" "$*"
    # The dpkg status stays the machine's own: this is a real installation.
    again as_root env APT_CONFIG="$APT_CONF" DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 \
        -t "$codename-backports" install "$@" >/dev/null </dev/null ||
        die "could not install: $*"
}

# What tools/linux/build.sh calls. CROSS_COMPILE= names another compiler.
missing_for_modules() {
    local prefix=aarch64-linux-gnu-
    if [ "$(uname -m)" = aarch64 ]; then prefix=; fi
    if [ -z "${CROSS_COMPILE:-}" ] && ! command -v "${prefix}gcc" >/dev/null; then
        missing+=(gcc-aarch64-linux-gnu)
    fi
    command -v make >/dev/null || missing+=(make)
}

install_missing() {
    local missing=()
    have_qemu || missing+=(qemu-system-arm)
    command -v dtc >/dev/null && command -v fdtoverlay >/dev/null || missing+=(device-tree-compiler)
    command -v mkimage >/dev/null && command -v dumpimage >/dev/null || missing+=(u-boot-tools)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v mke2fs >/dev/null || [ -x /usr/sbin/mke2fs ] || missing+=(e2fsprogs)
    command -v xz >/dev/null || missing+=(xz-utils)
    missing_for_modules
    local tool
    for tool in ${STAGEGATE_TOOLS:-}; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if ! command -v cargo >/dev/null && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
        missing+=(rustup)
    fi
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# rust-toolchain.toml names compiler, components and targets; rustup fetches
# them at the first call of cargo.
check_rust() {
    export PATH="$PATH:$HOME/.cargo/bin"
    command -v cargo >/dev/null ||
        die "no cargo. Install Rust with rustup (https://rustup.rs), then run again"
    (cd "$STAGEGATE_ROOT" && cargo --version >/dev/null 2>&1) ||
        die "cargo cannot provide the toolchain of rust-toolchain.toml; without rustup, use that Rust version with target aarch64-unknown-none-softfloat"
    say "rust" "$(cd "$STAGEGATE_ROOT" && rustc --version)"
}

take_lock
install_missing
have_qemu || die "QEMU $QEMU_MIN or newer is needed, found: $("${QEMU:-qemu-system-aarch64}" --version 2>/dev/null | head -1). Pass QEMU=/path/to/qemu-system-aarch64"
say "qemu" "$("${QEMU:-qemu-system-aarch64}" --version | head -1)"
say "dtc" "$(dtc --version)"
check_rust
