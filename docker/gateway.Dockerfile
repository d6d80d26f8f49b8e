# The gateway, and the command line that needs no training: index, releases, search, evaluate. No torch, no onnx.
# Build from the repository's root:
#   docker build -f docker/gateway.Dockerfile -t vitrine/gateway:0.1.0 .
# With FAISS for CUDA 13, a third-party wheel (its libraries come from pip, only the driver from the host):
#   docker build -f docker/gateway.Dockerfile --build-arg LOCK=locks/gateway-gpu.txt -t vitrine/gateway:0.1.0-gpu .
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG LOCK=locks/gateway.txt
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
# The lock first: dependencies change seldom, and this layer stays as long as they do.
COPY locks/ locks/
# --no-deps: what is in the lock and nothing else. --only-binary: no compiler is here.
RUN python -m venv /opt/vitrine \
    && /opt/vitrine/bin/pip install --no-deps --only-binary=:all: --requirement "${LOCK}" \
    && /opt/vitrine/bin/pip check \
    && python -m pip install --constraint locks/project.txt setuptools
COPY pyproject.toml README.md LICENSE ./
COPY catalog/ catalog/
COPY evaluation/ evaluation/
COPY export/ export/
COPY faults/ faults/
COPY indexing/ indexing/
COPY releases/ releases/
COPY retrieval_gateway/ retrieval_gateway/
COPY runtime/ runtime/
COPY towers/ towers/
COPY vitrine/ vitrine/
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/vitrine/bin/pip install --no-deps --no-index --find-links /wheels vitrine

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Vitrine gateway" \
      org.opencontainers.image.description="gRPC product retrieval: encodes through Triton, searches, caches" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The same ids in all of the project's images, so that a volume written by one is read by the others.
RUN groupadd --gid 10001 vitrine \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vitrine \
    && install --directory --owner=vitrine --group=vitrine /releases /models
COPY --from=build /opt/vitrine /opt/vitrine
COPY docker/healthcheck.py /opt/vitrine/healthcheck.py
# 0.0.0.0 is the container's own network; what of it is published, compose says (loopback only).
ENV PATH=/opt/vitrine/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VITRINE_HOST=0.0.0.0 \
    VITRINE_METRICS_HOST=0.0.0.0 \
    VITRINE_INSECURE=true \
    VITRINE_RELEASE_STORE=/releases \
    VITRINE_MODEL_REPOSITORY=/models
USER 10001:10001
WORKDIR /opt/vitrine
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# SERVING: an inference with the active release just worked. Unhealthy, and rightly, until a release is active.
HEALTHCHECK --interval=10s --timeout=8s --start-period=30s --retries=3 \
    CMD ["python", "/opt/vitrine/healthcheck.py"]
ENTRYPOINT ["python", "-m", "retrieval_gateway"]
