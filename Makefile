# Perilune. `make help` lists the targets; `make run` and `make test` need nothing installed before.
#
# Switches: V=1 shows commands; SANITIZER=address|undefined|thread|fuzz; FAULTS=1 builds with
# allocation faults; WERROR=1 makes warnings errors; CC=clang. Each combination has a folder of its
# own under build/, and a change of any flag rebuilds it.

# As many jobs as cores, unless -j says otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

CC      ?= gcc
PREFIX  ?= /usr/local
V       ?= 0
WERROR  ?= 0
FAULTS  ?= 0
SANITIZER ?=
comma   := ,

ifeq ($(origin CC),default)
CC := gcc
endif

config := $(or $(SANITIZER),release)$(if $(filter 1,$(FAULTS)),-faults)
config := $(config)$(if $(filter-out gcc,$(CC)),-$(notdir $(CC)))
out    := build/$(config)
quiet   = $(if $(filter 1,$(V)),,@)
say     = $(if $(filter 1,$(V)),@:,@printf '  %-6s %s\n')

# ---- what is needed, by purpose; `make deps` installs what is missing ----
deps_build := gcc make pkg-config libc6-dev liblua5.4-dev libuv1-dev lua-luv-dev libssl-dev \
              zlib1g-dev node-llhttp libcjson-dev
deps_test  := lua5.4 lua-busted nginx-light curl openssl
deps_lint  := clang clang-tidy clang-format lua-check lua5.4
deps_san   := clang libclang-rt-14-dev valgrind
deps_bench := erlang-base wrk nginx-light lua5.4 lua-dkjson
deps_all   := $(deps_build) $(deps_test) $(deps_lint) $(deps_san) $(deps_bench)

# ---- sources: a folder is a layer ----
core_dirs   := base memory core net load
lua_dirs    := lua bind
sources      = $(sort $(foreach d,$(1),$(wildcard runtime/$(d)/*.c)))
core_src    := $(call sources,$(core_dirs))
lua_src     := $(call sources,$(lua_dirs))
cli_src     := $(call sources,cli) $(sort $(wildcard bench/c/*.c))
test_src    := $(sort $(wildcard specs/c/*.c))
fuzz_src    := $(sort $(wildcard specs/fuzz/fuzz_*.c))
has_cli     := $(call sources,cli)
script_dirs := scripts/perilune scripts/std bench/lua
scripts     := $(sort $(shell find $(script_dirs) -name '*.lua' 2>/dev/null))
llhttp_dir  := /usr/share/llhttp
llhttp_src  := $(addprefix $(llhttp_dir)/,api.c http.c llhttp.c)

objects      = $(patsubst %.c,$(out)/%.o,$(1))
core_obj    := $(call objects,$(core_src))
lua_obj     := $(call objects,$(lua_src))
cli_obj     := $(call objects,$(cli_src))
test_obj    := $(call objects,$(test_src))
fuzz_obj    := $(call objects,$(fuzz_src))
llhttp_obj  := $(patsubst $(llhttp_dir)/%.c,$(out)/llhttp/%.o,$(llhttp_src))
all_obj     := $(core_obj) $(lua_obj) $(cli_obj) $(test_obj) $(fuzz_obj)

# ---- flags ----
# What sanitizers add to the code makes gcc see dangers that are none: no errors there.
warnings := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef \
            -Wwrite-strings -Wformat=2 -Wvla $(if $(SANITIZER),,$(if $(filter 1,$(WERROR)),-Werror))
includes := -Iruntime -I. -isystem /usr/include/lua5.4 -isystem /usr/share/include/llhttp
optimise := $(if $(SANITIZER),-O1 -fno-omit-frame-pointer,-O2 -flto=auto)
# The kinds of sanitizer, each as SANITIZER names it.
sanitize_              :=
sanitize_address       := -fsanitize=address,undefined -fno-sanitize-recover=undefined
sanitize_undefined     := -fsanitize=undefined -fno-sanitize-recover=undefined
sanitize_thread        := -fsanitize=thread
sanitize_fuzz          := -fsanitize=fuzzer-no-link,address,undefined \
                          -fno-sanitize-recover=undefined
ifeq ($(origin sanitize_$(SANITIZER)),undefined)
$(error SANITIZER=$(SANITIZER) is none of address, undefined, thread, fuzz)
endif
sanitize := $(sanitize_$(SANITIZER))
# Not position independent: code at fixed addresses is part of `same seed, same run`.
all_cflags  = -std=gnu11 -D_GNU_SOURCE -g $(optimise) $(sanitize) -fno-pie -fvisibility=hidden \
              -pthread $(warnings) $(includes) $(if $(filter 1,$(FAULTS)),-DPN_FAULTS) $(CFLAGS)
# Lua reads the time through runtime/lua, so the two come in together; the core stands without them.
lua_ldflags := $(if $(lua_src),-Wl$(comma)-E -Wl$(comma)--wrap=time)
lua_libs    := -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive -l:liblua5.4-luv.a
# llhttp reads header values 16 bytes at a time where it may: every x86-64 processor since 2011 can.
llhttp_simd := $(if $(filter x86_64,$(shell uname -m)),-msse4.2)
all_ldflags  = -no-pie -pthread $(sanitize) $(lua_ldflags) $(LDFLAGS)
libs        := $(if $(lua_src),$(lua_libs)) -l:libuv_a.a -lssl -lcrypto -lz -lm -ldl -lrt

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.SECONDARY:

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# ---- dependencies ----
# A stamp for each purpose; it is redone when the list (this file) changes.
define deps_rule
build/.deps-$(1): Makefile scripts/dev/deps.sh
	@mkdir -p build
	@sh scripts/dev/deps.sh $$(deps_$(1))
	@touch $$@
endef
$(foreach p,build test lint san bench,$(eval $(call deps_rule,$(p))))

deps: ## install what is missing (Debian packages)
	@mkdir -p build
	@sh scripts/dev/deps.sh $(sort $(deps_all))
	@touch $(addprefix build/.deps-,build test lint san bench)

# ---- build ----
build: $(out)/perilune ## ./perilune, a link to build/CONFIG/perilune
	$(quiet)ln -sfn $(out)/perilune perilune

# The compile flags as a file: objects depend on it, it changes only when they do.
$(out)/flags: FORCE
	@mkdir -p $(out)
	@printf '%s\n' '$(CC) $(all_cflags) $(llhttp_simd) $(all_ldflags) $(libs)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(all_obj): $(out)/%.o: %.c $(out)/flags | build/.deps-build
	@mkdir -p $(@D)
	$(say) CC $<
	$(quiet)$(CC) $(all_cflags) -MMD -MP -c $< -o $@

$(llhttp_obj): $(out)/llhttp/%.o: $(out)/flags | build/.deps-build
	@mkdir -p $(@D)
	$(say) CC llhttp/$*.c
	$(quiet)$(CC) $(filter-out -W%,$(all_cflags)) $(llhttp_simd) -w -c $(llhttp_dir)/$*.c -o $@

# The Lua half of the modules, as bytes in the binary: a table of (name, start, end).
$(out)/embed.S: $(scripts) scripts/dev/embed.sh
	@mkdir -p $(@D)
	$(quiet)sh scripts/dev/embed.sh $(scripts) > $@

$(out)/embed.o: $(out)/embed.S $(out)/flags | build/.deps-build
	$(quiet)$(CC) -c $< -o $@

$(out)/perilune: $(core_obj) $(lua_obj) $(cli_obj) $(llhttp_obj) $(out)/embed.o
	$(if $(has_cli),,$(error there is no runtime/cli in this tree yet: nothing to link perilune from))
	$(say) LINK $@
	$(quiet)$(CC) $(all_ldflags) $^ $(libs) -o $@

$(out)/c-tests: $(core_obj) $(lua_obj) $(test_obj) $(llhttp_obj) $(out)/embed.o | build/.deps-test
	$(say) LINK $@
	$(quiet)$(CC) $(all_ldflags) $^ $(libs) -lcjson -o $@

-include $(all_obj:.o=.d)

# ---- test ----
# `make test` sums the C tests and the specs. TESTS=noun picks C tests, SPECS=path specs, PARTS=C or
# PARTS=SPECS one of the two; TEST_FLAGS go to busted.
PARTS ?= C $(if $(has_cli),SPECS)
export TESTS SPECS TEST_FLAGS
export ASAN_OPTIONS  ?= detect_leaks=1
export UBSAN_OPTIONS ?= print_stacktrace=1
export TSAN_OPTIONS  ?= second_deadlock_stack=1

c-test: $(out)/c-tests
	$(quiet)$(out)/c-tests $(TESTS)

# A release build is the one that ./perilune points to; the others are run where they lie.
perilune_here := $(if $(has_cli),$(if $(SANITIZER),$(out)/perilune,build))
perilune_tested := $(if $(filter SPECS,$(PARTS)),$(perilune_here))
test: $(out)/c-tests $(perilune_tested) | build/.deps-test ## C tests and specs
	$(if $(has_cli),,@echo '  specs are left out: there is no runtime/cli in this tree yet')
	$(quiet)scripts/dev/test.sh $(out) $(PARTS)

asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@+$(MAKE) --no-print-directory SANITIZER=address test

faults: ## the C tests that let every allocation fail, one after the other
	@+$(MAKE) --no-print-directory FAULTS=1 PARTS=C TESTS=faults test

ubsan: ## the tests under UndefinedBehaviorSanitizer alone
	@+$(MAKE) --no-print-directory SANITIZER=undefined test

# ThreadSanitizer wants addresses to itself, which some kernels' randomisation does not leave it.
tsan: ## the C tests under ThreadSanitizer
	@+RUNNER=$$(setarch -R true 2>/dev/null && echo 'setarch -R') \
	  $(MAKE) --no-print-directory SANITIZER=thread PARTS=C test

# What the specs must not depend on: their order, the collector, the number of workers.
variants: build | build/.deps-test ## the specs shuffled, with 1, 2, 8 workers, an eager collector
	$(quiet)scripts/dev/variants.sh $(out)

# ---- fuzz ----
# Each specs/fuzz/fuzz_NAME.c with its corpus; FUZZ=NAME picks one. FUZZ_SECONDS, FUZZ_RUNS and the
# rest: scripts/dev/fuzz.sh.
FUZZ ?= *
fuzz_bin := $(patsubst specs/fuzz/%.c,$(out)/fuzz/%,$(sort $(wildcard specs/fuzz/fuzz_$(FUZZ).c)))

fuzz: ## each fuzz harness for FUZZ_SECONDS and FUZZ_RUNS at least
	@+$(MAKE) --no-print-directory CC=clang SANITIZER=fuzz fuzz-run

fuzz-prove: | build/.deps-san build/.deps-test ## that each harness finds the bugs planted for it
	$(if $(wildcard specs/fuzz/prove.sh),,$(error there is no specs/fuzz/prove.sh yet))
	$(quiet)sh specs/fuzz/prove.sh $(if $(filter-out *,$(FUZZ)),specs/fuzz/fuzz_$(FUZZ).c)

fuzz-run: $(fuzz_bin)
	$(if $(fuzz_bin),,$(error there is no specs/fuzz/fuzz_$(FUZZ).c))
	$(quiet)scripts/dev/fuzz.sh $(fuzz_bin)

$(fuzz_obj): | build/.deps-san build/.deps-test
$(out)/fuzz/%: $(out)/specs/fuzz/%.o $(core_obj) $(lua_obj) $(llhttp_obj) $(out)/embed.o
	@mkdir -p $(@D)
	$(say) LINK $@
	$(quiet)$(CC) $(all_ldflags) -fsanitize=fuzzer $^ $(libs) -lcjson -o $@

# ---- lint ----
# Every C file passes gcc and clang with warnings as errors and clang-tidy, each once until it or
# one of its headers changes; then the checks of scripts/dev over the whole tree. Everything is
# looked at before it fails (-k).
lint_out    := build/lint
lint_src    := $(core_src) $(lua_src) $(cli_src) $(test_src) $(fuzz_src)
lint_gcc    := $(patsubst %.c,$(lint_out)/gcc/%.o,$(lint_src))
lint_clang  := $(patsubst %.c,$(lint_out)/clang/%.ok,$(lint_src))
lint_tidy   := $(patsubst %.c,$(lint_out)/tidy/%.ok,$(lint_src))
lint_base   := -std=gnu11 -D_GNU_SOURCE -O2 -fno-pie -fvisibility=hidden -pthread $(includes)
lint_cflags := $(lint_base) $(filter-out -Werror,$(warnings)) -Werror
lint_lua    := $(wildcard scripts specs examples bench docs/api bench/peers/run)
lint_api    := $(wildcard runtime/base/err.h runtime/bind/*.c runtime/lua/*.c \
                 scripts/perilune/*.lua docs/api/*.lua)
lint_tools  := $(wildcard scripts/dev/check-* scripts/dev/annotations.lua)
api_docs    := $(sort $(wildcard docs/api/*.lua))
lint_parts  := lint-gcc lint-clang lint-tidy lint-lua lint-house lint-api lint-tree
lint_columns := 100

lint: ## every check: two compilers, clang-tidy, luacheck, layers, API docs, the tree
	@+$(MAKE) --no-print-directory -k $(lint_parts)
	@echo '  LINT   $(words $(lint_src)) C files and the tree: clean'

lint-gcc: $(lint_gcc)
lint-clang: $(lint_clang)
lint-tidy: $(lint_tidy)

$(lint_out)/flags: FORCE
	@mkdir -p $(lint_out)
	@printf '%s\n' '$(lint_cflags)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

lint_deps := build/.deps-build build/.deps-test build/.deps-lint

# One dependency file for the three; the object is what the symbol check reads.
$(lint_gcc): $(lint_out)/gcc/%.o: %.c $(lint_out)/flags | $(lint_deps)
	@mkdir -p $(@D)
	$(say) GCC $<
	$(quiet)gcc $(lint_cflags) -MMD -MP -MF $(@:.o=.d) \
	  -MT '$@ $(lint_out)/clang/$*.ok $(lint_out)/tidy/$*.ok' -c $< -o $@

# With allocation faults switched on, so that both halves of every #ifdef PN_FAULTS are seen.
$(lint_clang): $(lint_out)/clang/%.ok: %.c $(lint_out)/flags | $(lint_deps)
	@mkdir -p $(@D)
	$(say) CLANG $<
	$(quiet)clang $(lint_cflags) -DPN_FAULTS -fsyntax-only $<
	@touch $@

# Tests run under the sanitizers, may be long, and compare structs that they zeroed; the command's
# own thread may use getenv and exit.
tidy_specs := --checks=-clang-analyzer-*,-readability-function-size,-concurrency-mt-unsafe,$(strip \
              )-bugprone-suspicious-memory-comparison
tidy_cli   := --checks=-concurrency-mt-unsafe
tidy_flags  = $(if $(filter specs/%,$<),$(tidy_specs),$(if $(filter runtime/cli/%,$<),$(tidy_cli)))
tidy_lua    = $(if $(filter $(lua_src) $(cli_src),$<),-include scripts/dev/tidy_lua.h)

tidy_config := .clang-tidy scripts/dev/tidy_lua.h $(lint_out)/flags
$(lint_tidy): $(lint_out)/tidy/%.ok: %.c $(tidy_config) | $(lint_deps)
	@mkdir -p $(@D)
	$(say) TIDY $<
	$(quiet)clang-tidy --quiet $(tidy_flags) $< -- $(lint_base) $(tidy_lua) >$@.log 2>&1 || \
	  { grep -v 'warnings* generated' $@.log; exit 1; }
	@touch $@

-include $(lint_gcc:.o=.d)

lint-lua: | $(lint_deps)
	$(say) LUA 'scripts, specs, examples, bench, docs/api'
	$(quiet)luacheck --formatter plain $(lint_lua)

# A check that finds nothing must be one that could: each finds what its own test plants.
$(lint_out)/self-test.ok: $(lint_tools) | $(lint_deps)
	@mkdir -p $(@D)
	$(say) CHECK 'the checks themselves'
	$(quiet)lua5.4 scripts/dev/check-includes.lua --self-test
	$(quiet)lua5.4 scripts/dev/check-symbols.lua --self-test gcc
	$(quiet)lua5.4 scripts/dev/check-api.lua --self-test
	$(quiet)sh scripts/dev/check-tree.sh --self-test
	@touch $@

lint-house: $(lint_out)/self-test.ok $(lint_gcc)
	$(say) CHECK 'layers, file-level state, forbidden calls'
	$(quiet)lua5.4 scripts/dev/check-includes.lua $(sort $(wildcard runtime/*/*.[ch]))
	$(quiet)lua5.4 scripts/dev/check-symbols.lua $(lint_out)/gcc \
	  $(filter $(lint_out)/gcc/runtime/%,$(lint_gcc))

lint-api: $(lint_out)/self-test.ok
	$(say) CHECK 'API annotations'
	$(quiet)lua5.4 scripts/dev/check-api.lua $(lint_api)
	$(if $(api_docs),$(quiet)lua5.4 scripts/dev/docs.lua --check $(api_docs))

lint-tree: $(lint_out)/self-test.ok
	$(say) CHECK 'paths, hosts, columns, shell'
	$(quiet)sh scripts/dev/check-tree.sh $(lint_columns)

# FILES=… or what differs from the last commit; nobody's other files are touched.
format: | build/.deps-lint ## clang-format over changed C files, or FILES=
	$(quiet)git diff --name-only --diff-filter=d HEAD -- '*.c' '*.h' | \
	  xargs -r $(if $(FILES),echo >/dev/null,clang-format -i)
	$(if $(FILES),$(quiet)clang-format -i $(FILES))

# ---- docs, run, bench, install ----
docs: | build/.deps-lint ## docs/modules*.md from the annotations in docs/api
	$(if $(api_docs),,$(error there is no docs/api/*.lua to make pages from))
	@mkdir -p docs/modules
	$(say) DOCS docs/modules.md
	$(quiet)lua5.4 scripts/dev/docs.lua $(api_docs)

# SCENARIO=file runs another one, RUN_FLAGS go with it.
SCENARIO ?= $(firstword $(wildcard examples/08_*.lua))
run: build ## the first load test of the examples, over real sockets
	$(if $(SCENARIO),,$(error there is no examples/08_*.lua; say SCENARIO=FILE))
	$(quiet)./perilune run $(RUN_FLAGS) $(SCENARIO)

# BENCH=names, BENCH_FLAGS.
bench: build ## the benchmarks: a table; BENCH_FLAGS='--json FILE'
	$(quiet)./perilune bench $(BENCH_FLAGS) $(BENCH)

bench-peers: $(if $(has_cli),build) | build/.deps-bench ## beside Erlang/OTP and wrk; PEERS_FLAGS
	$(quiet)bench/peers/run $(PEERS_FLAGS)

share := $(DESTDIR)$(PREFIX)/share/perilune
install: $(out)/perilune ## to PREFIX (/usr/local): the binary, docs and examples
	$(quiet)install -D -m 755 $(out)/perilune $(DESTDIR)$(PREFIX)/bin/perilune
	$(quiet)mkdir -p $(share)
	$(quiet)cp -R $(wildcard docs examples) LICENSE $(share)/

uninstall: ## what install put there
	rm -rf $(DESTDIR)$(PREFIX)/bin/perilune $(share)

new-module: | build/.deps-lint ## NAME=x: engine, binding, annotation, spec and page to begin with
	$(if $(NAME),,$(error say which: make new-module NAME=x))
	$(quiet)lua5.4 scripts/dev/new-module.lua $(NAME)

check-fresh: ## what a newcomer gets: clone HEAD, make run, make test
	$(quiet)scripts/dev/check-fresh.sh

clean: ## remove build/
	rm -rf build perilune

# Goals that do a lot are taken one after the other, in the order given, not side by side.
goals := $(filter lint test variants faults asan ubsan tsan fuzz run bench bench-peers,\
  $(MAKECMDGOALS))
previous :=
$(foreach goal,$(goals),$(if $(previous),$(eval $(goal): | $(previous)))$(eval previous := $(goal)))

.PHONY: help deps build c-test test variants faults asan ubsan tsan fuzz fuzz-prove fuzz-run lint \
        $(lint_parts) format docs run bench bench-peers install uninstall new-module check-fresh \
        clean FORCE
