# Where engines are built: `vitrine export --target tensorrt` with the very TensorRT that serves them.
# A plan fits one TensorRT and one kind of GPU, so this image is of the same release as docker/triton.gpu.Dockerfile's,
# and it must run on the kind of GPU that will serve.
# Build from the repository's root:
#   docker build -f docker/export.Dockerfile -t vitrine/export:26.08 .
ARG TENSORRT_BASE_IMAGE=nvcr.io/nvidia/tensorrt:26.08-py3

FROM ${TENSORRT_BASE_IMAGE}
ARG TRITON_RELEASE=26.08
ARG TENSORRT_VERSION=11.2.1.2
ARG TORCH_VERSION=2.13.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Vitrine export" \
      org.opencontainers.image.description="Checkpoint to gated engines for one Triton release" \
      org.opencontainers.image.version="${TRITON_RELEASE}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 vitrine \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vitrine \
    && install --directory --owner=vitrine --group=vitrine /models \
    && install --directory --mode=1777 /cache
WORKDIR /opt/vitrine
COPY locks/ locks/
# --system-site-packages: the image's own tensorrt stays visible; a wheel of it is never installed. torch is its CUDA
# build, which pins its own libraries; everything else is what the tests run with.
RUN python3 -m venv --system-site-packages /opt/environment \
    && /opt/environment/bin/pip install --constraint locks/project.txt "torch==${TORCH_VERSION}" \
    && /opt/environment/bin/pip install --no-deps --requirement locks/project.txt
COPY docker/check_tensorrt.py docker/check_tensorrt.py
RUN /opt/environment/bin/python docker/check_tensorrt.py "${TENSORRT_VERSION}"
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
# The exporter reads the templates and the runner beside its own package, so the source stays where it is (editable).
COPY model_repository/templates/ model_repository/templates/
COPY model_repository/runner/ model_repository/runner/
COPY pyproject.toml README.md LICENSE ./
RUN /opt/environment/bin/pip install --no-deps --no-build-isolation --editable .
ENV PATH=/opt/environment/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VITRINE_MODEL_REPOSITORY=/models \
    VITRINE_VAR=/cache \
    HOME=/cache
USER 10001:10001
STOPSIGNAL SIGTERM
# A one-shot: its exit code is its health.
HEALTHCHECK NONE
ENTRYPOINT ["vitrine", "export"]
