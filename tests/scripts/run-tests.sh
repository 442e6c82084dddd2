#!/usr/bin/env bash
# Runs every test and adds the results up:
#   host tests of all crates, then the QEMU tests of tests/tests/.
# Arguments go to `cargo test` (e.g. a filter).

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$STAGEGATE_ROOT"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

# A QEMU machine keeps several threads busy: two at a time are enough for
# two CPUs, and waiting for guests is what takes the time.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-2}

# Checker and drivers meet every board tree that came with the kernel.
export STAGEGATE_DTBS=${STAGEGATE_DTBS:-$STAGEGATE_CACHE/boards/trees}

suite() { # suite TITLE COMMAND...
    printf '\n== %s\n' "$1"
    shift
    "$@" 2>&1 | tee -a "$log" || status=1
}

suite "host tests" cargo test --workspace --exclude stagegate-tests --no-fail-fast "$@"
[ $# != 0 ] || suite "model checker" tests/scripts/verify.sh loom
# The tutorial's test runs the operator's program as its reader does.
suite "operator's program" cargo build --profile runner -p stagegate --bin stagegate
suite "runner and QEMU tests" cargo test --profile runner -p stagegate-tests --no-fail-fast "$@"

awk -v bad=$status '
    # Tests that lack something say so; to cargo they pass.
    /^SKIPPED: / { skipped++; passed--; print }
    /^test result:/ { passed += $4; failed += $6; skipped += $8 }
    END {
        if (bad && !failed) print "\nerror: a suite could not be built or ended early"
        printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit (bad || failed || !passed)
    }' "$log"
