# A stand-in for Edge Impulse with one project, for trying the whole loop without an account:
#
#   docker build -f deploy/docker/emulator.Dockerfile -t nxai-edge-impulse-emulator .
#
# The same as `make demo` starts. It is a tool for tests: no accounts but one key, nothing stored.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
LABEL nxai=image
ARG UV_VERSION=0.13.9
ENV UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/opt/emulator
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv==${UV_VERSION}
WORKDIR /source
COPY pyproject.toml uv.lock ./
COPY libs/nxai_common/pyproject.toml libs/nxai_common/
COPY services/capture/pyproject.toml services/capture/
COPY services/inference/pyproject.toml services/inference/
COPY services/publisher/pyproject.toml services/publisher/
COPY services/manager/pyproject.toml services/manager/
COPY services/cloud-sync/pyproject.toml services/cloud-sync/
# It needs what these two bring (aiohttp; numpy, onnx, pillow), less the engines.
RUN /opt/uv/bin/uv sync --frozen --no-default-groups --no-install-workspace \
        --package nxai-manager --package nxai-inference --no-install-package ai-edge-litert \
        --no-install-package onnxruntime --no-install-package opencv-python-headless \
    && rm -rf /opt/emulator/lib/python3*/site-packages/onnx/backend/test

FROM ${BASE_IMAGE}
LABEL nxai=image
ENV PATH=/opt/emulator/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/emulator /opt/emulator
COPY tests/support/__init__.py /opt/nxai/tests/support/
COPY tests/support/edge_impulse /opt/nxai/tests/support/edge_impulse
COPY tools/demo.py /opt/nxai/tools/
COPY models/demo-parts /opt/nxai/models/demo-parts
COPY deploy/docker/emulator-entrypoint.sh /opt/nxai/
USER 10001:10001
WORKDIR /opt/nxai/tests
# Studio and ingestion.
EXPOSE 4800 4810
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import socket; [socket.create_connection(('127.0.0.1', port), 5).close() for port in (4800, 4810)]"]
ENTRYPOINT ["/opt/nxai/emulator-entrypoint.sh"]
