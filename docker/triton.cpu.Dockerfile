# Triton for the `cpu` target: the tritonserver from pip with its Python backend, ONNX Runtime and numpy < 2.
# Why not NVIDIA's image: this server (2.51.0) is the one that every test of the project runs, with these very locks and
# laid out by the same code (runtime/triton_home.py); and its packages take a third of a gigabyte, not tens.
# Build from the repository's root:
#   docker build -f docker/triton.cpu.Dockerfile -t vitrine/triton-cpu:0.1.0 .
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY locks/ /locks/
RUN python -m venv /opt/triton \
    && /opt/triton/bin/pip install --no-deps --only-binary=:all: \
        --requirement /locks/triton.txt --requirement /locks/whole-wheels-triton.txt

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Vitrine Triton (CPU)" \
      org.opencontainers.image.description="The tritonserver from pip, Python backend with ONNX Runtime" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 vitrine \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vitrine \
    && install --directory --owner=vitrine --group=vitrine /models
COPY --from=build /opt/triton /opt/triton
COPY faults/ /opt/vitrine/faults/
COPY runtime/ /opt/vitrine/runtime/
COPY docker/triton_cpu.py docker/triton_live.py /opt/vitrine/
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /opt/vitrine
# 8000 (HTTP) listens on loopback, for the health check. 8001 can load models, that is, run code: publish none of them.
EXPOSE 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/opt/triton/bin/python", "/opt/vitrine/triton_live.py"]
# Tensors travel through /dev/shm, whose default of 64 MB is little: run with --shm-size=256m (compose does).
ENTRYPOINT ["/opt/triton/bin/python", "/opt/vitrine/triton_cpu.py"]
