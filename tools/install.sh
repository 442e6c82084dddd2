#!/usr/bin/env bash
# Installs the operator's program with its manual pages and completions, or
# removes them again:
#
#   tools/install.sh PROGRAM            install.sh --remove PROGRAM
#
# PREFIX (default /usr/local) is where it will be used from, DESTDIR (default
# none) a directory to put that tree into, for packages.
set -euo pipefail

remove=
[ "${1:-}" != --remove ] || { remove=yes && shift; }
program=${1:?usage: install.sh [--remove] PROGRAM}
[ -x "$program" ] || { echo "error: $program is not built yet: make tool" >&2 && exit 1; }
share=${DESTDIR:-}${PREFIX:-/usr/local}/share
bin=${DESTDIR:-}${PREFIX:-/usr/local}/bin

pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
"$program" man "$pages" >/dev/null

put() { # put MODE SOURCE FILE
    if [ -n "$remove" ]; then
        rm -f "$3"
    else
        install -D -m "$1" "$2" "$3"
    fi
    echo "$3"
}

put 755 "$program" "$bin/stagegate"
for page in "$pages"/*.1; do
    put 644 "$page" "$share/man/man1/${page##*/}"
done
while read -r shell file; do
    "$program" completions "$shell" >"$pages/$shell"
    put 644 "$pages/$shell" "$share/$file"
done <<'END'
bash bash-completion/completions/stagegate
zsh zsh/site-functions/_stagegate
fish fish/vendor_completions.d/stagegate.fish
END
