#!/usr/bin/env bash
# The exhaustive checks of code that several CPUs or walkers run at once.
#
#   verify.sh loom   every interleaving, within bounds, of what takes no lock:
#                    page tables, SMMU queues and power states, PSCI
#   verify.sh miri   the page tables' whole suite under Miri: undefined
#                    behaviour and data races; fetches a nightly Rust
#
#   STAGEGATE_NIGHTLY=nightly-2026-11-01   another nightly than the newest

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$STAGEGATE_ROOT"

NIGHTLY=${STAGEGATE_NIGHTLY:-nightly}

# A directory of its own: the flag is another build of everything. Optimised,
# because loom's coroutines overflow their stacks otherwise.
loom() {
    export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom
    cargo test --profile runner -p pgtable --test loom
    cargo test --profile runner -p smmu --lib loom
    cargo test --profile runner -p smmu --test power_loom
    cargo test --profile runner -p hypervisor --lib psci::power
}

# The first flag is for the cast of a physical address to a pointer, the second
# lets the random tests seed themselves.
miri() {
    command -v rustup >/dev/null ||
        die "Miri comes with a nightly Rust, which rustup installs (https://rustup.rs)"
    rustup toolchain install "$NIGHTLY" --profile minimal --component miri --component rust-src \
        --no-self-update
    export MIRIFLAGS="-Zmiri-permissive-provenance -Zmiri-disable-isolation"
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/miri
    cargo "+$NIGHTLY" miri test -p pgtable --tests
}

case ${1:-} in
    loom | miri) "$1" ;;
    *) die "verify.sh loom|miri" ;;
esac
