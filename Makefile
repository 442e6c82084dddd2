# Stagegate: see README.md. Every command installs or fetches what it needs.
#
#   make run     boot the two-VM scenario on QEMU; report in target/run
#   make test    all tests, host and QEMU
#   make check   formatting, lints on both targets, documentation (part of make test)
#   make shell   the scenario's machine by hand (Ctrl-t x ends QEMU)
#   make loom    every interleaving of lock-free code (part of make test)
#   make miri    the page tables' tests under Miri, with a nightly Rust
#   make bench   figures; report in target/bench
#   make size    what the image is made of (part of the figures)
#   make book    the documentation as a book, in target/book
#   make tool    the operator's program, stagegate
#   make install what make tool built, with manual pages and completions: PREFIX=, DESTDIR=
#
# Own programs and files: QEMU=, KERNEL=, INITRD=, STAGEGATE_CACHE=DIR.

SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

HV_TARGET := aarch64-unknown-none-softfloat
CARGO := cargo
TESTS := $(CARGO) run --quiet --profile runner -p stagegate-tests --bin

.DEFAULT_GOAL := help
.PHONY: help setup hypervisor guests run test check loom miri shell bench size book tool install uninstall clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@tests/scripts/install-tools.sh
	@tests/scripts/fetch-guests.sh
	@[ -n "$(KERNEL)" ] || tools/linux/build.sh tools/linux tests/linux/edu >/dev/null

hypervisor: setup
	$(CARGO) build --release -p hypervisor --bin stagegate-hv --target $(HV_TARGET)

# The bare-metal guests of the tests.
guests: setup
	$(CARGO) build --release -p stagegate-guests --target $(HV_TARGET)

run: hypervisor
	@$(TESTS) scenario

test: check hypervisor guests
	tests/scripts/run-tests.sh

check: setup
	tests/scripts/check.sh

loom miri:
	tests/scripts/verify.sh $@

shell: hypervisor
	@$(TESTS) shell

# The page tables' instructions are counted by valgrind.
bench: export STAGEGATE_TOOLS = valgrind
# The SMMU drivers run inside the program under valgrind: it is built as they are.
bench: hypervisor guests
	@$(CARGO) run --quiet --release -p stagegate-tests --bin bench

size: hypervisor
	@$(TESTS) bench size

book:
	tests/scripts/book.sh

tool:
	$(CARGO) build --profile runner -p stagegate --bin stagegate

# Builds nothing, so that root needs no Rust.
export PREFIX DESTDIR
install:
	@tools/install.sh $(or $(CARGO_TARGET_DIR),target)/runner/stagegate

uninstall:
	@tools/install.sh --remove $(or $(CARGO_TARGET_DIR),target)/runner/stagegate

clean:
	$(CARGO) clean
	rm -rf target
