# hiredis_rs: build, check and install. GNU make.
#
#   make demo              see it work: pipelines and pub/sub through libevent
#   make                   the libraries, under target/
#   make install           PREFIX=/usr/local DESTDIR= LIBDIR= INCLUDEDIR= PKGCONFIGDIR=
#   make check             every test; what is missing on the machine is installed first
#
#   make bench             docs/performance.md anew; PEER=prefix of a hiredis to compare with, PARTS=growth
#
# One check by itself: abi, lint, valgrind, check-original, differential, asan, ubsan, oom, stress, fuzz,
# chaos, load, programs, bench-check; see docs/testing.md.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
DESTDIR ?=

CARGO ?= cargo
OBJCOPY ?= objcopy
INSTALL ?= install
REDIS_SERVER ?= redis-server

# The name that linked programs record. A distribution may choose its own.
SONAME ?= libhiredis_rs.so.1

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

release := target/release
shared := $(release)/libhiredis_rs.so
static := target/static/libhiredis_rs.a
exports := src/ffi/exports.txt
headers := $(wildcard include/hiredis/*.h)
adapters := $(wildcard adapters/*.h)
sources := Cargo.toml $(wildcard Cargo.lock) build.rs $(headers) $(shell find src -name '*.rs' -o -name '*.c')

# A program finds the library by the first name at run time and by the second when it is linked.
real_name := libhiredis_rs.so.$(VERSION)
links := $(filter-out $(real_name),$(sort $(SONAME) libhiredis_rs.so))

export CC CXX AR CARGO REDIS_SERVER

.PHONY: all abi asan bench bench-check bench-record chaos check check-original clean demo differential FORCE \
    fuzz install lint load oom programs stress ubsan uninstall valgrind
.DELETE_ON_ERROR:

all: $(shared) $(static)

# ---- Libraries ------------------------------------------------------------------------

# The stamp is dated before the build, so that a source edited meanwhile counts as newer.
# Its name holds the SONAME: another one is another library.
built := $(release)/.built-$(SONAME)
outputs := $(shared) $(release)/libhiredis_rs.a

$(built): $(sources) $(if $(filter-out $(wildcard $(outputs)),$(outputs)),FORCE)
	@mkdir -p $(@D) && rm -f $(release)/.built-* && touch $@.new
	HIREDIS_RS_SONAME=$(SONAME) $(CARGO) build --release --target-dir target
	@for name in $(filter-out libhiredis_rs.so,$(SONAME)); do ln -sf libhiredis_rs.so $(release)/$$name; done
	@mv $@.new $@

$(shared): $(built) ;

# Cargo's archive holds all of compiler_builtins and every Rust symbol. What is left here is one
# object that defines the public functions and nothing else that could collide with a program.
# Programs with an sds of their own, as Redis modules have, define the same names once more: the
# library never calls its own by name, so there they may win.
$(static): $(built) $(exports)
	@mkdir -p $(@D)
	@sed 's/^/-u /' $(exports) > $(@D)/roots
	$(LD) -r --force-group-allocation --gc-sections @$(@D)/roots -o $(@D)/all.o $(release)/libhiredis_rs.a
	$(OBJCOPY) -R .llvmbc -R .llvmcmd --keep-global-symbols=$(exports) --strip-unneeded \
	    --wildcard --weaken-symbol='sds*' --weaken-symbol=hex_digit_to_int \
	    $(@D)/all.o $(@D)/hiredis_rs.o
	@rm -f $@
	$(AR) rcs $@ $(@D)/hiredis_rs.o

# ---- Checks ---------------------------------------------------------------------------

demo:
	scripts/demo

check:
	scripts/check

# The headers against the Rust sources, the exported names, and programs built for hiredis.
abi: all
	HIREDIS_RS_SONAME=$(SONAME) $(CARGO) check --features check-headers --target-dir target
	ctests/headers/run
	scripts/check-exports
	ctests/relink/run
	ctests/own_sds/run

lint:
	scripts/lint

# Each test runs in a process of its own, so an error or a leak fails that test. What is still
# reachable when a test ends is no leak: most of it is the harness.
leaks := definite,indirect,possible
valgrind: all
	scripts/deps valgrind
	TEST_TIMEOUT=20 TEST_WRAPPER="valgrind -q --trace-children=yes --error-exitcode=99 --num-callers=30 \
	    --leak-check=full --show-leak-kinds=$(leaks) --errors-for-leak-kinds=$(leaks) \
	    --suppressions=ctests/valgrind.supp" ctests/run --lib so

# The C suite and the library built with sanitizers. Needs a nightly toolchain.
asan:
	scripts/asan

# The C code under UndefinedBehaviorSanitizer alone: the library's, headers, adapters, tests.
ubsan:
	scripts/ubsan

# The random tests with fresh seeds, for that long, with sanitizers.
SECONDS ?= 120
stress:
	scripts/stress $(SECONDS)

# Connections that are cut, delayed, reset and so on; without SECONDS until there were 10,000.
chaos:
	scripts/chaos $(if $(filter-out file,$(origin SECONDS)),$(SECONDS))

# Ten thousand connections, then a million subscriptions, for that long each.
load:
	scripts/load $(SECONDS)

# Each fuzz target for that long. Needs a nightly toolchain, and clang.
fuzz:
	fuzz/run $(SECONDS)

# Every test in which memory runs out.
oom: all
	scripts/oom

# The C suite against hiredis itself (the package libhiredis-dev): which tests does it fail?
check-original:
	ctests/run --lib original

# What programs print with hiredis 0.14 (libhiredis-dev) and with ours.
differential: all
	ctests/differential/run

# Other people's programs, fetched, built with ours and tested. Takes minutes and the network.
programs: all
	ctests/programs/run

# ---- Performance ----------------------------------------------------------------------

bench: all
	scripts/deps bench
	bench/measure $(if $(PEER),--peer "$(PEER)") $(PARTS)
	bench/report

# No more instructions than recorded.
bench-check: all
	scripts/deps bench-check
	bench/check

bench-record: all
	scripts/deps bench-check
	bench/check --record

# ---- Installation ---------------------------------------------------------------------

# A directory of its own keeps <hiredis/hiredis.h> apart from an installed hiredis.
include_root := $(DESTDIR)$(INCLUDEDIR)/hiredis_rs
include_dir := $(include_root)/hiredis
lib_dir := $(DESTDIR)$(LIBDIR)
pc_file := $(DESTDIR)$(PKGCONFIGDIR)/hiredis_rs.pc

# Paths below PREFIX are written relative to it: pkg-config may then be told another prefix.
relative = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))

install: all
	$(INSTALL) -d "$(include_dir)/adapters" "$(lib_dir)" "$(dir $(pc_file))"
	$(INSTALL) -m 644 $(headers) "$(include_dir)"
	$(INSTALL) -m 644 $(adapters) "$(include_dir)/adapters"
	$(INSTALL) -m 755 $(shared) "$(lib_dir)/$(real_name)"
	for name in $(links); do ln -sf $(real_name) "$(lib_dir)/$$name" || exit; done
	$(INSTALL) -m 644 $(static) "$(lib_dir)"
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(call relative,$(LIBDIR))|' \
	    -e 's|@INCLUDEDIR@|$(call relative,$(INCLUDEDIR))|' -e 's|@VERSION@|$(VERSION)|' \
	    pkgconfig/hiredis_rs.pc.in > "$(pc_file)"
	chmod 644 "$(pc_file)"

uninstall:
	for name in $(notdir $(headers)); do rm -f "$(include_dir)/$$name" || exit; done
	for name in $(notdir $(adapters)); do rm -f "$(include_dir)/adapters/$$name" || exit; done
	for name in $(real_name) $(links) libhiredis_rs.a; do rm -f "$(lib_dir)/$$name" || exit; done
	rm -f "$(pc_file)"
	for dir in "$(include_dir)/adapters" "$(include_dir)" "$(include_root)"; do \
	    test ! -d "$$dir" || rmdir --ignore-fail-on-non-empty "$$dir" || exit; done

clean:
	rm -rf target
