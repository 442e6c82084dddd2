#!/usr/bin/env bash
# Builds stagegate-iommu.ko for Debian's arm64 6.12 kernel on any Debian
# machine, without installing headers or adding a foreign architecture.
#
# The three header packages (arm64 configuration, common sources, and the
# build tools for this machine's own architecture) must be of one version,
# that of the kernel which tests/scripts/fetch-guests.sh fetched.
#
# Arguments are directories with a Kbuild file; without any, the driver's own.
#
#   STAGEGATE_CACHE=DIR   where downloads and modules live (default .cache)
#   CROSS_COMPILE=PREFIX  own cross compiler (default aarch64-linux-gnu-)
#   KDIR=DIR              own kernel build tree: nothing is fetched
#
# Prints the paths of the modules on standard output.

source "$(dirname "${BASH_SOURCE[0]}")/../../tests/scripts/common.sh"

SUITE=bookworm
SERIES=6.12
# Without symbolic links: the path is written into the unpacked headers.
HEADERS=$(cd "$STAGEGATE_CACHE" && pwd -P)/headers/$SERIES
MODULES=$STAGEGATE_CACHE/modules/$SERIES

# fetch ARCH PACKAGE : unpacks PACKAGE below $HEADERS
fetch() {
    local arch=$1 package=$2 dir
    private_apt "$arch" $SUITE $SUITE-updates $SUITE-backports
    if [ "$arch" = arm64 ]; then
        # A world of its own: foreign architecture, nothing installed.
        dir=$(dirname "$APT_CONF")
        : >"$dir/status"
        cat >>"$APT_CONF" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State "$dir";
Dir::State::status "$dir/status";
CONF
    fi
    private_apt_update
    say "fetch" "$package"
    dir=$(mktemp -d "$STAGEGATE_CACHE/deb.XXXXXX")
    (cd "$dir" && again env APT_CONFIG="$APT_CONF" apt-get -qq download "$package" </dev/null) ||
        die "could not download $package"
    dpkg-deb -x "$dir"/*.deb "$HEADERS.new"
    rm -rf "$dir"
}

# The packages refer to each other by absolute paths below /usr; point them
# at their unpacked neighbours instead.
relocate() {
    local version=$1 kdir=$HEADERS.new/usr/src/linux-headers-$1 kbuild
    # "6.12.95+deb12-arm64" is the flavour, "6.12.95+deb12" the version.
    local base=${version%-arm64}
    kbuild=$HEADERS/usr/lib/linux-kbuild-$base
    grep -rl /usr/src "$kdir/Makefile" "$kdir/.kernelvariables" 2>/dev/null |
        xargs -r sed -i "s#/usr/src/#$HEADERS/usr/src/#g"
    for link in scripts tools; do
        for tree in "$kdir" "$HEADERS.new/usr/src/linux-headers-$base-common"; do
            if [ -L "$tree/$link" ]; then ln -sfn "$kbuild/$link" "$tree/$link"; fi
        done
    done
    # Debian names the compiler with its version; take the cross compiler
    # that is here.
    rm -f "$kdir/.kernelvariables"
}

headers() {
    local version base
    version=$(cat "$STAGEGATE_CACHE/kernels/$SERIES/version" 2>/dev/null) ||
        die "no $SERIES kernel in the cache: run tests/scripts/fetch-guests.sh first"
    KDIR=$HEADERS/usr/src/linux-headers-$version
    if [ "$(cat "$HEADERS/version" 2>/dev/null)" = "$version in $HEADERS" ]; then return; fi
    base=${version%-arm64}
    rm -rf "$HEADERS" "$HEADERS.new"
    mkdir -p "$HEADERS.new"
    fetch arm64 "linux-headers-$version"
    fetch arm64 "linux-headers-$base-common"
    fetch "$(dpkg --print-architecture)" "linux-kbuild-$base"
    relocate "$version"
    # Written last: its presence means that the directory is complete.
    echo "$version in $HEADERS" >"$HEADERS.new/version"
    mv "$HEADERS.new" "$HEADERS"
}

# installed by tests/scripts/install-tools.sh
cross_compiler() {
    if [ -n "${CROSS_COMPILE:-}" ]; then return; fi
    CROSS_COMPILE=aarch64-linux-gnu-
    if [ "$(uname -m)" = aarch64 ]; then CROSS_COMPILE=; fi
    command -v "${CROSS_COMPILE}gcc" >/dev/null ||
        die "no ${CROSS_COMPILE}gcc: run tests/scripts/install-tools.sh, or pass CROSS_COMPILE="
}

# build DIR : kbuild writes beside the sources, so it gets a copy. Type
# information for BPF would need the whole vmlinux; the module is fine without.
build() {
    local name out file
    name=$(sed -n 's/^obj-m := \(.*\)\.o$/\1/p' "$1/Kbuild")
    out=$MODULES/$name
    mkdir -p "$out"
    for file in "$1"/Kbuild "$1"/*.[ch]; do
        [ ! -e "$file" ] || cmp -s "$file" "$out/$(basename "$file")" || cp "$file" "$out/"
    done
    make -s -C "$KDIR" M="$out" ARCH=arm64 CROSS_COMPILE="$CROSS_COMPILE" \
        KCFLAGS=-Werror CONFIG_DEBUG_INFO_BTF_MODULES= modules >&2
    echo "$out/$name.ko"
}

[ $# -gt 0 ] || set -- "$STAGEGATE_ROOT/tools/linux"
take_lock
cross_compiler
[ -n "${KDIR:-}" ] || headers
for directory in "$@"; do build "$directory"; done
