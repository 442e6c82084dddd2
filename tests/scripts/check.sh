#!/usr/bin/env bash
# Formatting, lints on the host and on the target, documentation.

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$STAGEGATE_ROOT"

TARGET=aarch64-unknown-none-softfloat

cargo fmt --all --check
cargo clippy --workspace --all-targets -- -D warnings
cargo clippy -p hypervisor --target $TARGET -- -D warnings
cargo clippy -p stagegate-guests --target $TARGET -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
for script in tests/scripts/*.sh tools/*.sh tools/linux/*.sh .ci/run; do bash -n "$script"; done
echo "check: all clean"
