#!/usr/bin/env bash
# Fetches the stock software that runs inside the machines: Debian's arm64
# kernels 6.12 and 6.1, a static busybox, and U-Boot, UEFI and GRUB for QEMU. Nothing is
# installed on this computer; the packages are unpacked below the cache:
#
#   kernels/6.12/{Image,version,modules/}   kernels/6.1/...
#   boards/{zcu102.dtb,trees/}    busybox    u-boot.bin    uefi.fd    grub.efi
#
#   STAGEGATE_CACHE=DIR     where downloads live (default .cache)
#   KERNEL=FILE             own kernel: 6.12 is not fetched

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

GUEST_SUITE=bookworm

guest_apt_ready() {
    [ -z "${guest_apt_done:-}" ] || return 0
    private_apt arm64 $GUEST_SUITE $GUEST_SUITE-updates $GUEST_SUITE-backports
    local dir
    dir=$(dirname "$APT_CONF")
    : >"$dir/status"
    # A world of its own: foreign architecture, nothing installed.
    cat >>"$APT_CONF" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State "$dir";
Dir::State::status "$dir/status";
CONF
    private_apt_update
    guest_apt_done=1
}

# download PACKAGE[/SUITE] : leaves the package's path in $DEB
download() {
    guest_apt_ready
    local dir
    dir=$(mktemp -d "$STAGEGATE_CACHE/deb.XXXXXX")
    (cd "$dir" && again env APT_CONFIG="$APT_CONF" apt-get -qq download "$1" </dev/null) ||
        die "could not download $1"
    DEB=$(echo "$dir"/*.deb)
}

# unpack TARGET : unpacks $DEB into a fresh directory TARGET
unpack() {
    rm -rf "$1"
    mkdir -p "$1"
    dpkg-deb -x "$DEB" "$1"
    rm -rf "$(dirname "$DEB")"
}

# The package a meta package stands for today, e.g. linux-image-6.12.95+deb12-arm64.
newest_kernel() {
    APT_CONFIG=$APT_CONF apt-cache show "linux-image-arm64/$1" 2>/dev/null |
        sed -n 's/^Depends: .*\(linux-image-[0-9][^ ,]*\).*/\1/p' | head -1
}

# kernel SERIES SUITE
kernel() {
    local series=$1 suite=$2 out=$STAGEGATE_CACHE/kernels/$1 package tmp
    if [ -s "$out/version" ] && [ -s "$STAGEGATE_CACHE/boards/trees/version" ]; then
        say "kernel" "$(cat "$out/version")"
        return
    fi
    guest_apt_ready
    package=$(newest_kernel "$suite")
    case $package in
    linux-image-$series.*) ;;
    *) die "$suite offers '$package', not a $series kernel; pass KERNEL= and INITRD=" ;;
    esac
    say "fetch" "$package ($suite)"
    download "$package/$suite"
    tmp=$STAGEGATE_CACHE/kernels/.$series
    unpack "$tmp"
    rm -rf "$out"
    mkdir -p "$out"
    mv "$tmp"/boot/vmlinuz-* "$out/Image"
    if [ -d "$tmp/usr/lib/modules" ]; then mv "$tmp"/usr/lib/modules/* "$out/modules"
    else mv "$tmp"/lib/modules/* "$out/modules"; fi
    # The newest kernel comes first, and knows the most boards.
    [ -s "$STAGEGATE_CACHE/boards/trees/version" ] ||
        boards "$tmp"/usr/lib/linux-image-* "${package#linux-image-}"
    rm -rf "$tmp"
    # Written last: its presence means that the directory is complete.
    echo "${package#linux-image-}" >"$out/version"
}

# boards DIRECTORY VERSION: keeps the device trees that come with a kernel. The
# tests read every one; QEMU writes none for the zcu102.
boards() {
    local boards=$STAGEGATE_CACHE/boards
    rm -rf "$boards/trees"
    mkdir -p "$boards"
    mv "$1" "$boards/trees"
    cp "$boards/trees/xilinx/zynqmp-zcu102-rev1.0.dtb" "$boards/zcu102.dtb"
    echo "$2" >"$boards/trees/version"
}

busybox() {
    local out=$STAGEGATE_CACHE/busybox
    [ -s "$out" ] || {
        say "fetch" "busybox-static (arm64)"
        download busybox-static
        unpack "$STAGEGATE_CACHE/.busybox"
        find "$STAGEGATE_CACHE/.busybox" -type f -name busybox -exec cp {} "$out.new" \;
        mv "$out.new" "$out"
        rm -rf "$STAGEGATE_CACHE/.busybox"
    }
    say "busybox" "$out"
}

uboot() {
    local out=$STAGEGATE_CACHE/u-boot.bin
    [ -s "$out" ] || {
        say "fetch" "u-boot-qemu"
        download u-boot-qemu
        unpack "$STAGEGATE_CACHE/.u-boot"
        cp "$STAGEGATE_CACHE/.u-boot/usr/lib/u-boot/qemu_arm64/u-boot.bin" "$out.new"
        mv "$out.new" "$out"
        rm -rf "$STAGEGATE_CACHE/.u-boot"
    }
    say "u-boot" "$out"
}

# Firmware, and a loader above it, for starts by UEFI.
uefi() {
    local out=$STAGEGATE_CACHE/uefi.fd
    [ -s "$out" ] || {
        say "fetch" "qemu-efi-aarch64"
        download qemu-efi-aarch64
        unpack "$STAGEGATE_CACHE/.uefi"
        cp "$STAGEGATE_CACHE/.uefi/usr/share/qemu-efi-aarch64/QEMU_EFI.fd" "$out.new"
        mv "$out.new" "$out"
        rm -rf "$STAGEGATE_CACHE/.uefi"
    }
    say "uefi" "$out"
}

grub() {
    local out=$STAGEGATE_CACHE/grub.efi
    [ -s "$out" ] || {
        say "fetch" "grub-efi-arm64-bin"
        download grub-efi-arm64-bin
        unpack "$STAGEGATE_CACHE/.grub"
        cp "$STAGEGATE_CACHE/.grub/usr/lib/grub/arm64-efi/monolithic/grubaa64.efi" "$out.new"
        mv "$out.new" "$out"
        rm -rf "$STAGEGATE_CACHE/.grub"
    }
    say "grub" "$out"
}

take_lock
[ -n "${KERNEL:-}" ] || kernel 6.12 $GUEST_SUITE-backports
kernel 6.1 $GUEST_SUITE
busybox
uboot
uefi
grub
