# Freshet. `make` builds the four daemons into bin/ and the web pages into build/web; the other targets are below.
#
# Every folder lists its parts in module.mk:
#   <mod>_SRCS    sources; main.c, if there is one, makes the daemon <mod>
#   <mod>_PKGS    pkg-config names, <mod>_LDLIBS what has none
#   <mod>_UNIT    tests/unit/<name>_test.c      (cmocka)   -> build/<flavour>/tests/<name>
#   <mod>_FUZZ    tests/fuzz/<name>_fuzz.c      (libFuzzer) -> build/fuzz/<name>
#   <mod>_TOOLS   tests/tools/<name>.c                      -> build/<flavour>/tools/<name>
# tests/module.mk lists tools that belong to no daemon.
# A test or tool is linked with its folder, common/ and proto/.
#
# SANITIZE=address,undefined or SANITIZE=thread, and CC=clang, each build into a directory of their own; the daemons
# of such a build are in build/<flavour>/bin (deploy/local takes them with FRESHET_BIN).
# Sanitized builds and unit tests are compiled with -Og: less than half the work, and a sanitizer sees no less.

DAEMONS := ingestd transcoderd originD edged
MODULES := common proto $(DAEMONS) tests
-include $(MODULES:%=%/module.mk)

ifeq ($(origin CC),default)
CC := gcc
endif
comma := ,
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
COUNT ?=
SET ?=
VERSION := $(shell cat VERSION)
# Only of a repository that is this very folder: an unpacked source may lie in somebody else's. REVISION=… is taken as given.
REVISION ?= $(or $(if $(wildcard .git),$(shell git describe --always --dirty 2>/dev/null)),unknown)

ifdef SANITIZE
FLAVOUR := $(subst $(comma),-,$(SANITIZE))
# gcc's flow analysis sees values and lengths that cannot be once checks are woven in (its manual says so): told, no error.
SANFLAGS := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all -Wno-error
else
FLAVOUR := release
# A fault that a stranger's bytes find ends the process instead of obeying the stranger. The sanitizers have checks of their own.
HARDEN := -fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fPIE
HARDEN_LD := -pie -Wl,-z,relro -Wl,-z,now
endif
ifneq ($(notdir $(CC)),gcc)
FLAVOUR := $(FLAVOUR)-$(notdir $(CC))
endif
B := build/$(FLAVOUR)
BIN := $(if $(filter release,$(FLAVOUR)),bin,$(B)/bin)

# A source that is listed but not there is named, and does not keep the rest from being built.
present = $(foreach s,$(1),$(if $(wildcard $(s)),$(s),$(warning $(s) is listed but missing)))

PKGS := $(sort $(foreach m,common proto $(DAEMONS),$($(m)_PKGS)))
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CPPFLAGS += -D_GNU_SOURCE -I. $(PKG_CFLAGS)
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
CFLAGS ?= $(if $(SANITIZE),-Og,-O2) -g
ALL_CFLAGS := -std=gnu11 $(CFLAGS) $(WARN) $(SANFLAGS) $(HARDEN) -fno-strict-aliasing -pthread
# Every daemon names all libraries of common/; it loads those that it calls.
LDFLAGS += $(SANFLAGS) $(HARDEN_LD) -pthread -Wl,--as-needed

.PHONY: FORCE all daemons web pages-deps tools units unit check check-long check-faults check-older check-abuse check-compose bench sim fuzz fuzz-build fuzz-corpus lint clean up demo
.DELETE_ON_ERROR:
.SECONDARY:

all: daemons web

# ---- daemons ------------------------------------------------------------------------------------------------------

# $(call libs,mod): what a program of mod links besides its own objects
archives = $(sort $(if $(filter common proto,$(1)),,$(2)/$(1).a)) $(2)/proto.a $(2)/common.a
libs = -Wl,--start-group $(call archives,$(1),$(2)) -Wl,--end-group \
       $(sort $(common_LDLIBS) $(proto_LDLIBS) $($(1)_LDLIBS)) \
       $(shell pkg-config --libs $(sort $(common_PKGS) $(proto_PKGS) $($(1)_PKGS) $(3)) 2>/dev/null) -lm

define MODULE
$(1)_FOUND := $$(call present,$$($(1)_SRCS))
$(1)_OBJS := $$(patsubst %.c,$(B)/obj/%.o,$$(filter-out %/main.c,$$($(1)_FOUND)))
$(B)/$(1).a: $$($(1)_OBJS)
	@rm -f $$@ && mkdir -p $$(@D)
	$$(Q)ar rcs $$@ $$^

$$(patsubst %,$(B)/tests/%,$$($(1)_UNIT)): $(B)/tests/%: $(B)/obj/tests/unit/%_test.o $$(call archives,$(1),$(B))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$< $$(call libs,$(1),$(B),cmocka)

$$(patsubst %,$(B)/tools/%,$$($(1)_TOOLS)): $(B)/tools/%: $(B)/obj/tests/tools/%.o $$(call archives,$(1),$(B))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$< $$(call libs,$(1),$(B),)

UNITS += $$(patsubst %,$(B)/tests/%,$$(foreach t,$$($(1)_UNIT),$$(if $$(wildcard tests/unit/$$(t)_test.c),$$(t),$$(warning tests/unit/$$(t)_test.c is listed but missing))))
TOOLS += $$(patsubst %,$(B)/tools/%,$$(foreach t,$$($(1)_TOOLS),$$(if $$(wildcard tests/tools/$$(t).c),$$(t))))
endef

define DAEMON
$(BIN)/$(1): $(B)/obj/$(1)/main.o $$(call archives,$(1),$(B))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -rdynamic -o $$@ $$< $$(call libs,$(1),$(B),)
endef

ifndef V
Q := @
endif

$(foreach m,$(MODULES),$(eval $(call MODULE,$(m))))
$(foreach d,$(DAEMONS),$(eval $(call DAEMON,$(d))))

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/tests/unit/%.o: ALL_CFLAGS += -Og

# Made anew when the version is another than it was at the last build.
$(B)/obj/common/daemon/version.o: CPPFLAGS += -DFRESHET_VERSION='"$(VERSION)"' -DFRESHET_REVISION='"$(REVISION)"'
$(B)/obj/common/daemon/version.o: $(B)/version
$(B)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION) $(REVISION)' | cmp -s - $@ || echo '$(VERSION) $(REVISION)' >$@
FORCE:

daemons: $(foreach d,$(DAEMONS),$(if $(wildcard $(d)/main.c),$(BIN)/$(d)))
tools: $(TOOLS)
units: $(UNITS)
unit: units
	@tests/run-units $(UNITS)

# ---- web pages ----------------------------------------------------------------------------------------------------

WEB := edged/web
WEB_FILES := $(wildcard $(WEB)/*.html $(WEB)/*.js $(WEB)/*.css $(WEB)/*.svg)
NPM := npm --no-fund --no-audit --no-update-notifier --loglevel=error

web: build/.web
$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@echo "  NPM   $(WEB)"
	$(Q)cd $(WEB) && $(NPM) ci --omit=dev >/dev/null && touch node_modules/.package-lock.json
build/.web: $(WEB_FILES) $(WEB)/node_modules/.package-lock.json
	@echo "  WEB   build/web"
	$(Q)rm -rf build/web && mkdir -p build/web
	$(Q)cp $(WEB_FILES) build/web/
	$(Q)cp $(WEB)/node_modules/dashjs/dist/modern/umd/dash.mediaplayer.min.js build/web/dash.js
	$(Q)cp $(WEB)/node_modules/dashjs/LICENSE.md build/web/dash.js.LICENSE.txt
	$(Q)sed '/^\/\/# sourceMappingURL/d' $(WEB)/node_modules/@svta/cml-608/dist/index.js >build/web/cea-608.js
	$(Q)cp $(WEB)/node_modules/@svta/cml-608/LICENSE build/web/cea-608.js.LICENSE.txt
	$(Q)touch $@

tests/pages/node_modules/.package-lock.json: tests/pages/package-lock.json
	@echo "  NPM   tests/pages"
	$(Q)cd tests/pages && $(NPM) ci >/dev/null && touch node_modules/.package-lock.json
pages-deps: tests/pages/node_modules/.package-lock.json

# ---- run ----------------------------------------------------------------------------------------------------------

# COUNT="transcoders=2 edges=2" -> --transcoders=2 --edges=2; SET=role.key=value, one of them -> --set
up:
	@deploy/install-deps
	@$(MAKE) -s --no-print-directory all
	@exec deploy/local up $(COUNT:%=--%) $(if $(SET),--set '$(SET)')

demo:
	@deploy/install-deps --demo
	@$(MAKE) -s --no-print-directory all
	@exec deploy/demo $(COUNT:%=--%)

# ---- tests --------------------------------------------------------------------------------------------------------

check:
	@deploy/install-deps --test
	@tests/check

check-long:
	@deploy/install-deps --test
	@tests/check --long

# Every fault of tests/fault, in a row; FRESHET_FAULT_SEED repeats the random ones.
check-faults:
	@deploy/install-deps --test
	@$(MAKE) -s --no-print-directory all tools
	@tests/check --long model faults

# Nodes of another revision beside those of this one, as while a cluster is upgraded: OLDER=REVISION, which is built first.
check-older:
	@test -n "$(OLDER)" || { echo "OLDER=REVISION says which one" >&2; exit 2; }
	@deploy/install-deps --test
	@$(MAKE) -s --no-print-directory all tools
	@rm -rf build/older && mkdir -p build/older && git archive $(OLDER) | tar -x -C build/older
	@$(MAKE) -s --no-print-directory -C build/older REVISION=$(OLDER) daemons
	@FRESHET_OLDER=$(CURDIR)/build/older/bin $(firstword $(wildcard /usr/bin/python3) python3) -m pytest -q -p no:cacheprovider tests/fault/test_older_nodes.py

# Every attack of tests/abuse, as large as it may come; the table of what was seen is in build/abuse.txt.
check-abuse:
	@deploy/install-deps --test
	@$(MAKE) -s --no-print-directory all tools
	@tests/check --long abuse

# The containers of deploy/, on a real engine; not part of `check`, which runs where there can be none.
check-compose:
	@deploy/install-deps --compose
	@$(MAKE) -s --no-print-directory all tools pages-deps
	@tests/compose/check

# bench-NAME runs tests/bench/NAME (any executable, an extension is allowed)
BENCHES := $(sort $(basename $(notdir $(shell find tests/bench -maxdepth 1 -type f -executable 2>/dev/null))))
bench: $(BENCHES:%=bench-%)
bench-%:
	@deploy/install-deps --test
	@$(MAKE) -s --no-print-directory all tools pages-deps
	@set -- tests/bench/$* tests/bench/$*.*; for f; do if [ -x "$$f" ]; then exec "$$f"; fi; done; \
	 echo "there is no benchmark '$*'; there are: $(BENCHES)" >&2; exit 2

# What audiences need that fit on no machine of ours, by the figures that bench-sim measured (minutes).
sim:
	@deploy/install-deps --test
	@tests/sim/run

# ---- fuzzing ------------------------------------------------------------------------------------------------------

F := build/fuzz
FUZZ_CFLAGS := -std=gnu11 -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -pthread
define FUZZ_MODULE
$(F)/$(1).a: $$(patsubst %.c,$(F)/obj/%.o,$$(filter-out %/main.c,$$($(1)_FOUND)))
	@rm -f $$@ && mkdir -p $$(@D)
	$$(Q)ar rcs $$@ $$^
$$(patsubst %,$(F)/bin/%,$$($(1)_FUZZ)): $(F)/bin/%: $(F)/obj/tests/fuzz/%_fuzz.o $$(call archives,$(1),$(F))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$$(Q)clang -fsanitize=fuzzer,address,undefined -pthread -o $$@ $$< $$(call libs,$(1),$(F),)
FUZZERS += $$(foreach t,$$($(1)_FUZZ),$$(if $$(wildcard tests/fuzz/$$(t)_fuzz.c),$(F)/bin/$$(t),$$(warning tests/fuzz/$$(t)_fuzz.c is listed but missing)))
endef
$(foreach m,$(MODULES),$(eval $(call FUZZ_MODULE,$(m))))
$(F)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $< (fuzz)"
	$(Q)clang $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

fuzz-build: $(FUZZERS)
# Each target for FUZZ_SECONDS, from the kept corpus; what is new goes to build/fuzz, never into the tree.
fuzz: fuzz-build
	@tests/run-fuzz $(FUZZ_SECONDS) $(FUZZERS)
# The kept corpus once, without searching: part of `make check`.
fuzz-corpus: fuzz-build
	@tests/run-fuzz 0 $(FUZZERS)

# ---- lint, install, clean -----------------------------------------------------------------------------------------

LINT_SRCS = $(foreach m,$(MODULES),$($(m)_FOUND))
lint:
	cppcheck -q --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	    --suppressions-list=.cppcheck-suppressions -D_GNU_SOURCE -I. $(LINT_SRCS)
	@set -e; for f in $(LINT_SRCS); do clang -fsyntax-only -std=gnu11 $(CPPFLAGS) $(WARN) -Wformat=2 -Wundef \
	    -Wpointer-arith -Wmissing-prototypes -Wvla $$f; done
	shellcheck .ci/run deploy/certs deploy/install-deps deploy/completion/freshet.bash deploy/k8s/secrets \
	    deploy/setup deploy/swarm-trust tests/compose/stand-ins
	python3 -c 'import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]' \
	    deploy/local deploy/demo tests/check tests/model/run tests/run-units tests/run-fuzz tests/system/*.py tests/fault/*.py tests/abuse/*.py tests/deploy/*.py tests/bench/*.py tests/sim/*.py tests/sim/run deploy/man/page deploy/freshet deploy/operator/*.py deploy/roll \
	    tests/compose/check tests/compose/*.py

include deploy/packaging.mk

clean:
	rm -rf build bin

-include $(shell find $(B)/obj $(F)/obj -name '*.d' 2>/dev/null)
