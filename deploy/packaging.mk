# Installing Freshet, and its Debian packages; part of the Makefile.
#   make install    everything an operator needs, under $(DESTDIR)$(PREFIX)
#   make uninstall  removes these files again, and the folders that only they were in; configuration and recordings stay
#   make man        the manual pages, build/man
#   make deb        build/deb/*.deb

.PHONY: install uninstall man deb deploy-deps

BINDIR ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share
DOCDIR ?= $(DATADIR)/doc/freshet
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
ZSHDIR ?= $(DATADIR)/zsh/site-functions

# A tool's installed name, and the file in deploy/ it is.
INSTALLED_TOOLS := $(foreach t,freshet:freshet freshet-token:token freshet-certs:certs,\
                   $(if $(wildcard deploy/$(lastword $(subst :, ,$(t)))),$(t)))
TOOL_NAMES := $(foreach t,$(INSTALLED_TOOLS),$(firstword $(subst :, ,$(t))))

# ---- manual pages -------------------------------------------------------------------------------------------------

MAN_PAGES := $(DAEMONS:%=build/man/%.8) $(TOOL_NAMES:%=build/man/%.1)
man: $(MAN_PAGES)
build/man/%.8: deploy/man/%.8.mdoc deploy/man/daemon.mdoc deploy/man/page VERSION bin/%
	@echo "  MAN   $@"
	$(Q)mkdir -p $(@D) && deploy/man/page $< bin/$* $(VERSION) >$@
define TOOL_PAGE
build/man/$(1).1: deploy/man/$(1).1.mdoc deploy/man/page VERSION deploy/$(2)
	@echo "  MAN   $$@"
	$$(Q)mkdir -p $$(@D) build/man/bin && ln -sf ../../../deploy/$(2) build/man/bin/$(1)
	$$(Q)deploy/man/page $$< build/man/bin/$(1) $$(VERSION) >$$@
endef
$(foreach t,$(INSTALLED_TOOLS),$(eval $(call TOOL_PAGE,$(firstword $(subst :, ,$(t))),$(lastword $(subst :, ,$(t))))))

# ---- install ------------------------------------------------------------------------------------------------------

# A row is mode:source:target. Of units and the like the paths in them are filled in, which `=` before the mode asks for.
WEB_INSTALLED := $(notdir $(WEB_FILES)) dash.js dash.js.LICENSE.txt cea-608.js cea-608.js.LICENSE.txt
DOCS := README.md ARCHITECTURE.md SECURITY.md CHANGELOG.md LICENSE docs/operations.md
EXAMPLES := $(wildcard deploy/examples/*)
# What `freshet` is made of, and what monitoring takes as it is.
PARTS := $(filter-out %.pyc,$(shell find $(wildcard deploy/operator deploy/prometheus deploy/grafana) -type f 2>/dev/null))
COMPLETED := $(DAEMONS) $(TOOL_NAMES)
INSTALL_ROWS := \
    $(foreach d,$(DAEMONS),755:bin/$(d):$(BINDIR)/$(d)) \
    $(foreach t,$(INSTALLED_TOOLS),755:deploy/$(lastword $(subst :, ,$(t))):$(BINDIR)/$(firstword $(subst :, ,$(t)))) \
    $(foreach f,$(WEB_INSTALLED),644:build/web/$(f):$(DATADIR)/freshet/web/$(f)) \
    $(foreach f,$(PARTS),644:$(f):$(DATADIR)/freshet/$(f:deploy/%=%)) \
    644:VERSION:$(DATADIR)/freshet/VERSION \
    $(foreach p,$(MAN_PAGES),644:$(p):$(DATADIR)/man/man$(patsubst .%,%,$(suffix $(p)))/$(notdir $(p))) \
    $(foreach c,$(COMPLETED),644:deploy/completion/freshet.bash:$(DATADIR)/bash-completion/completions/$(c)) \
    644:deploy/completion/_freshet:$(ZSHDIR)/_freshet \
    $(foreach d,$(DAEMONS),=644:deploy/systemd/freshet-$(d).service:$(UNITDIR)/freshet-$(d).service) \
    =644:deploy/systemd/freshet-.service.d/10-freshet.conf:$(UNITDIR)/freshet-.service.d/10-freshet.conf \
    =644:deploy/systemd/freshet.sysusers:$(SYSUSERSDIR)/freshet.conf \
    =644:deploy/systemd/freshet.tmpfiles:$(TMPFILESDIR)/freshet.conf \
    $(foreach f,$(DOCS),644:$(f):$(DOCDIR)/$(notdir $(f))) \
    $(foreach f,$(EXAMPLES),644:$(f):$(DOCDIR)/examples/$(notdir $(f)))
# Folders that only Freshet has.
OWN_DIRS := $(DATADIR)/freshet $(DOCDIR) $(UNITDIR)/freshet-.service.d

install: all man
	@set -e; umask 022; for row in $(INSTALL_ROWS); do \
	    mode=$${row%%:*} rest=$${row#*:}; source=$${rest%%:*} target="$(DESTDIR)$${rest#*:}"; \
	    case $$mode in \
	    =*) install -D -m "$${mode#=}" /dev/null "$$target"; \
	        sed -e 's|@bindir@|$(BINDIR)|g; s|@sysconfdir@|$(SYSCONFDIR)|g; s|@docdir@|$(DOCDIR)|g' "$$source" >"$$target" ;; \
	    *) install -D -m "$$mode" "$$source" "$$target" ;; \
	    esac; \
	done

uninstall:
	@for row in $(INSTALL_ROWS); do rest=$${row#*:}; rm -f "$(DESTDIR)$${rest#*:}"; done
	@for dir in $(OWN_DIRS); do [ ! -d "$(DESTDIR)$$dir" ] || find "$(DESTDIR)$$dir" -depth -type d -empty -delete; done

# ---- tests of it --------------------------------------------------------------------------------------------------

tests/deploy/node_modules/.package-lock.json: tests/deploy/package-lock.json
	@echo "  NPM   tests/deploy"
	$(Q)cd tests/deploy && $(NPM) ci >/dev/null && touch node_modules/.package-lock.json
deploy-deps: tests/deploy/node_modules/.package-lock.json

# ---- Debian packages ----------------------------------------------------------------------------------------------

# Built of a copy of the tree, in build/deb, which has the player of the watch page in it before dpkg-buildpackage begins: npm
# needs the network, the package's build does not. BUILD_TIME stands in the packages' changelog, and makes builds repeatable.
DEB_TREE := build/deb/freshet-$(VERSION)
BUILD_TIME ?= $(or $(if $(wildcard .git),$(shell git log -1 --format=%ct 2>/dev/null)),$(shell stat -c %Y CHANGELOG.md))
# What is suppressed asks for the bug that every package new in Debian's archive closes; these are not for the archive.
LINTIAN_OPTIONS := --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs $(if $(filter 0,$(shell id -u)),--allow-root)
deb: $(WEB)/node_modules/.package-lock.json
	@deploy/install-deps --deb
	@rm -rf build/deb && mkdir -p $(DEB_TREE)
	@tar -c --exclude=./build --exclude=./bin --exclude=./run --exclude=./.git --exclude=./tests/*/node_modules . | tar -x -C $(DEB_TREE)
	@mkdir -p $(DEB_TREE)/debian && cp -r deploy/debian/. $(DEB_TREE)/debian/
	@sed -e 's/@VERSION@/$(VERSION)/; s/@DATE@/$(shell date -u -R -d @$(BUILD_TIME))/' deploy/debian/changelog.in \
	    >$(DEB_TREE)/debian/changelog
	cd $(DEB_TREE) && SOURCE_DATE_EPOCH=$(BUILD_TIME) dpkg-buildpackage -b -us -uc
	lintian $(LINTIAN_OPTIONS) build/deb/*.changes
	@ls -l build/deb/*.deb
