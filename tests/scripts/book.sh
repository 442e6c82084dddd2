#!/usr/bin/env bash
# Builds the documentation as a book in target/book, with mdBook: the one on the
# PATH, or one that cargo builds once below $STAGEGATE_CACHE/tools (minutes).

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$STAGEGATE_ROOT"

MDBOOK_VERSION=0.5.4

export PATH="$PATH:$STAGEGATE_CACHE/tools/bin:$HOME/.cargo/bin"
if ! command -v mdbook >/dev/null; then
    take_lock
    say "install" "mdbook $MDBOOK_VERSION, by cargo"
    CARGO_TARGET_DIR=$STAGEGATE_CACHE/tools/target again cargo install --quiet --locked mdbook \
        --version $MDBOOK_VERSION --no-default-features --features search --root "$STAGEGATE_CACHE/tools" ||
        die "could not build mdbook. Install mdBook 0.5 yourself, and put it on the PATH"
    rm -rf "$STAGEGATE_CACHE/tools/target"
fi
say "mdbook" "$(mdbook --version)"
mdbook build docs
echo "book: $STAGEGATE_ROOT/target/book/index.html"
