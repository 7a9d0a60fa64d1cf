# Mosquitto with one account per service, made at the first start:
#
#   docker build -f deploy/docker/mosquitto.Dockerfile -t nxai-mosquitto .
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
LABEL nxai=image
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /etc/mosquitto
COPY deploy/mosquitto /opt/mosquitto
COPY deploy/docker/mosquitto-entrypoint.sh /opt/mosquitto/entrypoint.sh
EXPOSE 1883
HEALTHCHECK --interval=5s --timeout=10s --start-period=20s --retries=5 \
    CMD ["env", "XDG_CONFIG_HOME=/mosquitto/secrets/viewer", "mosquitto_sub", "-t", "$SYS/broker/uptime", "-C", "1", "-W", "8"]
ENTRYPOINT ["/opt/mosquitto/entrypoint.sh"]
