# Shared by the scripts in this directory; sourced, never run.
#
# Everything that is downloaded lands below $STAGEGATE_CACHE (default:
# .cache in the checkout), so that a second run needs no network and a
# `rm -rf .cache` forgets all of it.

set -euo pipefail

STAGEGATE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STAGEGATE_CACHE=${STAGEGATE_CACHE:-$STAGEGATE_ROOT/.cache}
mkdir -p "$STAGEGATE_CACHE"
STAGEGATE_CACHE=$(cd "$STAGEGATE_CACHE" && pwd)

say() { printf '  %-9s %s\n' "$1" "$2" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a command that needs the network up to three times: mirrors are now and
# then away or in the middle of an update.
again() { "$@" || { sleep 5 && "$@"; } || { sleep 20 && "$@"; }; }

# Two `make` commands may be started at once; the second one waits here.
take_lock() {
    exec 8>"$STAGEGATE_CACHE/.lock"
    flock -w 900 8 || die "another setup holds $STAGEGATE_CACHE/.lock for more than 15 minutes"
}

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "'$1' needs root, and there is no sudo here. Run as root, or install the tools yourself (see docs/testing.md)"
    fi
}

# The archive this machine's own Debian packages come from. Nothing is
# compiled in: mirrors and proxies that work for the machine work for us.
debian_archive() {
    command -v apt-get >/dev/null || return 1
    local suite
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # $(...) below is apt's own format language, not the shell's.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(CREATED_BY)|$(RELEASE)|$(COMPONENT)|$(SITE)' 2>/dev/null |
        awk -F'|' -v s="$suite" '$1 == "Packages" && $2 == s && $3 == "main" { print $4; exit }'
}

# private_apt ARCH SUITE... : prepares an apt configuration of our own for
# ARCH and SUITEs and leaves its path in $APT_CONF. The host's sources and
# package lists stay as they are.
private_apt() {
    local arch=$1 dir uri suite key=/usr/share/keyrings/debian-archive-keyring.gpg
    shift
    dir=$STAGEGATE_CACHE/apt-$arch
    APT_CONF=$dir/apt.conf
    uri=$(debian_archive) || die "no apt on this machine. Pass KERNEL=, INITRD= and QEMU= yourself (see docs/testing.md)"
    [ -n "$uri" ] || die "apt knows no 'main' component for this release; is this a Debian machine? Pass KERNEL=, INITRD= and QEMU= yourself (see docs/testing.md)"
    [ -s "$key" ] || key=
    mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/empty"
    : >"$dir/sources.list"
    for suite in "$@"; do
        echo "deb [arch=$arch${key:+ signed-by=$key}] $uri $suite main" >>"$dir/sources.list"
    done
    # Reading happens as whoever runs the script; apt's own user could not
    # write into a private checkout.
    cat >"$APT_CONF" <<CONF
Dir::State::lists "$dir/lists";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "$dir/empty";
Dir::Etc::preferencesparts "$dir/empty";
APT::Sandbox::User "root";
Acquire::Retries "3";
Acquire::Languages "none";
APT::Update::Post-Invoke "";
DPkg::Post-Invoke "";
CONF
}

# Refreshes the private package lists, at most once an hour.
private_apt_update() {
    local stamp
    stamp=$(dirname "$APT_CONF")/updated
    if [ -n "$(find "$stamp" -mmin -60 2>/dev/null)" ] &&
        cmp -s "$(dirname "$APT_CONF")/sources.list" "$stamp"; then
        return
    fi
    say "lists" "package lists for $(basename "$(dirname "$APT_CONF")")"
    again env APT_CONFIG="$APT_CONF" apt-get -qq update ||
        die "apt-get update failed. Is the network there?"
    cp "$(dirname "$APT_CONF")/sources.list" "$stamp"
}
