# Perilune. `make help` lists the targets; `make run` and `make test` need nothing installed beforehand.
#
# Switches: V=1 shows commands; SANITIZER=address|undefined|thread; FAULTS=1 builds with allocation faults;
# WERROR=1 makes warnings errors; CC=clang. Each combination has a folder of its own under build/, and a
# change of any flag rebuilds it.

CC      ?= gcc
PREFIX  ?= /usr/local
V       ?= 0
WERROR  ?= 0
FAULTS  ?= 0
SANITIZER ?=

ifeq ($(origin CC),default)
CC := gcc
endif

config := $(if $(SANITIZER),$(SANITIZER),release)$(if $(filter 1,$(FAULTS)),-faults)$(if $(filter-out gcc,$(CC)),-$(notdir $(CC)))
out    := build/$(config)
quiet   = $(if $(filter 1,$(V)),,@)
say     = $(if $(filter 1,$(V)),@:,@printf '  %-6s %s\n')

# ---- what is needed, by purpose; `make deps` installs what is missing ----
deps_build := gcc make pkg-config libc6-dev liblua5.4-dev libuv1-dev lua-luv-dev libssl-dev zlib1g-dev node-llhttp
deps_test  := lua-busted libcjson-dev nginx-light curl openssl
deps_lint  := clang clang-tidy clang-format lua-check
deps_san   := libclang-rt-14-dev valgrind
deps_bench := erlang-base wrk
deps_all   := $(deps_build) $(deps_test) $(deps_lint) $(deps_san) $(deps_bench)

# ---- sources: a folder is a layer ----
core_dirs   := base memory core net load
lua_dirs    := lua bind
sources      = $(sort $(foreach d,$(1),$(wildcard runtime/$(d)/*.c)))
core_src    := $(call sources,$(core_dirs))
lua_src     := $(call sources,$(lua_dirs))
cli_src     := $(call sources,cli) $(sort $(wildcard bench/c/*.c))
test_src    := $(sort $(wildcard specs/c/*.c))
scripts     := $(sort $(shell find scripts/perilune scripts/std bench/lua -name '*.lua' 2>/dev/null))
llhttp_dir  := /usr/share/llhttp
llhttp_src  := $(addprefix $(llhttp_dir)/,api.c http.c llhttp.c)

objects      = $(patsubst %.c,$(out)/%.o,$(1))
core_obj    := $(call objects,$(core_src))
lua_obj     := $(call objects,$(lua_src))
cli_obj     := $(call objects,$(cli_src))
test_obj    := $(call objects,$(test_src))
llhttp_obj  := $(patsubst $(llhttp_dir)/%.c,$(out)/llhttp/%.o,$(llhttp_src))
all_obj     := $(core_obj) $(lua_obj) $(cli_obj) $(test_obj)

# ---- flags ----
warnings := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef \
            -Wwrite-strings -Wformat=2 -Wvla $(if $(filter 1,$(WERROR)),-Werror)
includes := -Iruntime -I. -isystem /usr/include/lua5.4 -isystem /usr/share/include/llhttp
optimise := $(if $(SANITIZER),-O1 -fno-omit-frame-pointer,-O2)
sanitize := $(if $(filter address,$(SANITIZER)),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined)
sanitize += $(if $(filter undefined,$(SANITIZER)),-fsanitize=undefined -fno-sanitize-recover=undefined)
sanitize += $(if $(filter thread,$(SANITIZER)),-fsanitize=thread)
comma    := ,
# Not position independent: code at fixed addresses is part of `same seed, same run` (docs/architecture.md).
all_cflags  = -std=gnu11 -D_GNU_SOURCE -g $(optimise) $(sanitize) -fno-pie -fvisibility=hidden -pthread \
              $(warnings) $(includes) $(if $(filter 1,$(FAULTS)),-DPN_FAULTS) $(CFLAGS)
all_ldflags = -no-pie -pthread $(sanitize) -Wl,-E -Wl,--wrap=time $(LDFLAGS)
libs     := -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive -l:liblua5.4-luv.a -l:libuv_a.a \
            -lssl -lcrypto -lz -lm -ldl -lrt

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.SECONDARY:

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- dependencies ----
# A stamp for each purpose; it is redone when the list (this file) changes.
define deps_rule
build/.deps-$(1): Makefile
	@mkdir -p build
	@sh scripts/dev/deps.sh $$(deps_$(1))
	@touch $$@
endef
$(foreach p,build test lint san bench,$(eval $(call deps_rule,$(p))))

deps: build/.deps-build build/.deps-test build/.deps-lint build/.deps-san build/.deps-bench ## install what is missing (Debian packages)

# ---- build ----
build: $(out)/perilune ## build/<config>/perilune, and ./perilune
	$(quiet)ln -sfn $(out)/perilune perilune

# The compile flags as a file: objects depend on it, it changes only when they do.
$(out)/flags: FORCE
	@mkdir -p $(out)
	@printf '%s\n' '$(CC) $(all_cflags) $(all_ldflags) $(libs)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(all_obj): $(out)/%.o: %.c $(out)/flags | build/.deps-build
	@mkdir -p $(@D)
	$(say) CC $<
	$(quiet)$(CC) $(all_cflags) -MMD -MP -c $< -o $@

$(llhttp_obj): $(out)/llhttp/%.o: $(out)/flags | build/.deps-build
	@mkdir -p $(@D)
	$(say) CC llhttp/$*.c
	$(quiet)$(CC) $(filter-out -W%,$(all_cflags)) -w -c $(llhttp_dir)/$*.c -o $@

# The Lua half of the modules, as bytes in the binary: a table of (name, start, end).
$(out)/embed.S: $(scripts) scripts/dev/embed.sh
	@mkdir -p $(@D)
	$(quiet)sh scripts/dev/embed.sh $(scripts) > $@

$(out)/embed.o: $(out)/embed.S $(out)/flags | build/.deps-build
	$(quiet)$(CC) -c $< -o $@

$(out)/perilune: $(core_obj) $(lua_obj) $(cli_obj) $(llhttp_obj) $(out)/embed.o
	$(say) LINK $@
	$(quiet)$(CC) $(all_ldflags) $^ $(libs) -o $@

$(out)/c-tests: $(core_obj) $(lua_obj) $(test_obj) $(llhttp_obj) $(out)/embed.o | build/.deps-test
	$(say) LINK $@
	$(quiet)$(CC) $(all_ldflags) $^ $(libs) -lcjson -o $@

-include $(all_obj:.o=.d)

c-test: $(out)/c-tests
	$(quiet)$(out)/c-tests $(TESTS)

clean: ## remove build/
	rm -rf build perilune

.PHONY: help deps build c-test clean FORCE
