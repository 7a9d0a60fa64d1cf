# PostgreSQL from Debian's packages, with the variables of the official image that our tests
# use. Only for where no registry is in reach; elsewhere NXAI_TEST_POSTGRES_IMAGE=postgres:16 does.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends postgresql \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
RUN install -d -m 700 -o postgres -g postgres /var/lib/postgresql/data
COPY tests/support/postgres-entrypoint.sh /entrypoint.sh
USER postgres
EXPOSE 5432
ENTRYPOINT ["/bin/sh", "/entrypoint.sh"]
