# PostgreSQL with partition_registry; --build-arg PG_MAJOR=18 for another than 15.
#
# --target extension is the extension alone, for PostgreSQL from 18 on to find by
# extension_control_path and dynamic_library_path: what CloudNativePG mounts.
ARG PG_MAJOR=15
FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make "postgresql-server-dev-${PG_MAJOR}"
COPY Makefile META.json partition_registry.control /src/
COPY sql /src/sql
COPY src /src/src
RUN make -C /src PG_CONFIG="/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config" \
    with_llvm=no DESTDIR=/installed all install

FROM scratch AS extension
ARG PG_MAJOR
COPY --from=build /installed/usr/lib/postgresql/${PG_MAJOR}/lib/ /lib/
COPY --from=build /installed/usr/share/postgresql/${PG_MAJOR}/extension/ /share/extension/
COPY LICENSE /licenses/partition_registry/

FROM postgres:${PG_MAJOR}-bookworm
COPY --from=build /installed/ /
COPY clients/http/setup.sql /setup.sql
COPY docker/init.sh /docker-entrypoint-initdb.d/partition_registry.sh
