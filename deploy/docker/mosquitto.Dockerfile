# Mosquitto with one account per service and one per kind of program outside, made at the first
# start:
#
#   docker build -f deploy/docker/mosquitto.Dockerfile -t nxai-mosquitto .
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
LABEL nxai=image
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients openssl \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /etc/mosquitto \
    # The user of the services (Dockerfile), so that they can read the passwords written for them.
    && groupadd --gid 10001 nxai \
    && useradd --uid 10001 --gid nxai --home-dir /mosquitto --no-create-home nxai
COPY deploy/mosquitto /opt/mosquitto
COPY deploy/docker/mosquitto-entrypoint.sh /opt/mosquitto/entrypoint.sh
# A new volume takes owner and rights from the folder it is mounted over.
RUN for account in capture inference publisher manager cloud-sync; do \
        install -d -m 700 -o nxai -g nxai "/mosquitto/secrets/$account"; \
    done \
    && for account in viewer operator; do \
        install -d -m 700 -o nxai -g nxai "/mosquitto/handed/$account"; \
    done \
    && install -d -o nxai -g nxai /mosquitto/handed/observability \
    && chown nxai:nxai /mosquitto /mosquitto/secrets /mosquitto/handed \
    && printf '#!/bin/sh\nexec /opt/mosquitto/accounts.sh /mosquitto "${@:-show}"\n' \
        > /usr/local/bin/passwords \
    && chmod 755 /usr/local/bin/passwords
USER 10001:10001
# 1883 for the services; for programs outside 1884, 8883 with TLS, 9001 WebSockets.
EXPOSE 1883 1884 8883 9001
HEALTHCHECK --interval=5s --timeout=10s --start-period=20s --retries=5 \
    CMD ["env", "XDG_CONFIG_HOME=/mosquitto/health", "mosquitto_sub", "-t", "$SYS/broker/uptime", "-C", "1", "-W", "8"]
ENTRYPOINT ["/opt/mosquitto/entrypoint.sh"]
