# PostgreSQL 15 with partition_registry.
FROM postgres:15-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make postgresql-server-dev-15
COPY Makefile META.json partition_registry.control /src/
COPY sql /src/sql
COPY src /src/src
RUN make -C /src with_llvm=no all && make -C /src with_llvm=no DESTDIR=/installed install

FROM postgres:15-bookworm
COPY --from=build /installed/ /
COPY clients/http/setup.sql /setup.sql
COPY docker/init.sh /docker-entrypoint-initdb.d/partition_registry.sh
