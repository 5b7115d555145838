# partition_registry: built by PGXS.
#
#   make && make install && make installcheck      PG_CONFIG=/path/to/pg_config
#
# The version stands in the control file alone.  The install script is joined
# from sql/NN_*.sql, in the order of their numbers, and is not committed;
# upgrade scripts (sql/partition_registry--A--B.sql) are written by hand.

PG_CONFIG ?= pg_config

# The folder of this file, also where it is built elsewhere: make -f …/Makefile
HERE := $(if $(VPATH),$(VPATH)/,$(dir $(firstword $(MAKEFILE_LIST))))

EXTENSION  = partition_registry
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(HERE)$(EXTENSION).control)
MODULE_big = $(EXTENSION)
SOURCES    = $(sort $(wildcard $(HERE)src/*.c))
OBJS       = $(patsubst $(HERE)%.c,%.o,$(SOURCES))

DATA_built = $(EXTENSION)--$(EXTVERSION).sql
DATA       = $(patsubst $(HERE)%,%,$(wildcard $(HERE)sql/$(EXTENSION)--*--*.sql))

# Inputs below test/, outputs in expected/ of this folder, which PostgreSQL 15
# looks for beside the results, and has to be told from 16 on.
EXPECTED_HERE = $(if $(filter 15,$(MAJORVERSION)),,--expecteddir=.)

REGRESS      = $(patsubst $(HERE)test/sql/%.sql,%,$(sort $(wildcard $(HERE)test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --outputdir=. $(EXPECTED_HERE) --encoding=UTF8 --load-extension=pgcrypto

# What the specs share is in one that comes before each choice of them.
ISOLATION      = $(filter-out fixture,$(patsubst $(HERE)test/specs/%.spec,%,$(sort $(wildcard $(HERE)test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --outputdir=. $(EXPECTED_HERE) --encoding=UTF8 --load-extension=pgcrypto --load-extension=partition_registry fixture

TAP_TESTS   = 1
PROVE_TESTS = test/t/*.pl

# Tests that are named (make installcheck REGRESS=readiness) are run alone.
ifneq ($(strip $(foreach tests,REGRESS ISOLATION PROVE_TESTS,$(if $(filter command,$(origin $(tests))),$($(tests))))),)
REGRESS   =
ISOLATION =
TAP_TESTS := $(if $(filter command,$(origin PROVE_TESTS)),1)
endif

PG_CFLAGS  = $(PARTREG_CFLAGS)

# The library exports what SQL calls and nothing else.  All other names could
# meet the server's or another library's, and calls between our own files would
# be looked up through the whole program.
SHLIB_EXPORTS = exports.txt
EXTRA_CLEAN   = exports.txt

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(EXTENSION)--$(EXTVERSION).sql: $(sort $(wildcard $(HERE)sql/[0-9][0-9]_*.sql)) $(EXTENSION).control
	cat $(filter %.sql,$^) > $@

$(OBJS): $(wildcard $(HERE)src/*.h) | $(CURDIR)/src
$(CURDIR)/src:
	mkdir -p $@

exports.txt: $(SOURCES)
	{ echo "Pg_magic_func 1"; echo "_PG_init 1"; \
	  sed -n 's/^PG_FUNCTION_INFO_V1(\(.*\));$$/\1 1\npg_finfo_\1 1/p' $^; } > $@

# What PGXN takes: the files of the last commit.
.PHONY: dist
dist:
	git -C $(HERE) archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ \
	    --output=$(CURDIR)/$(EXTENSION)-$(EXTVERSION).zip HEAD

.PHONY: quickstart bench
quickstart bench:
	scripts/$@
