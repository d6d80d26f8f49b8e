# Triton for the targets `tensorrt` and `onnxruntime`: NVIDIA's image, our flags, another user.
# Build from the repository's root:
#   docker build -f docker/triton.gpu.Dockerfile -t vitrine/triton-gpu:26.08 .
ARG TRITON_BASE_IMAGE=nvcr.io/nvidia/tritonserver:26.08-py3

FROM ${TRITON_BASE_IMAGE}
ARG TRITON_RELEASE=26.08
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Vitrine Triton (GPU)" \
      org.opencontainers.image.description="NVIDIA Triton with explicit model control" \
      org.opencontainers.image.version="${TRITON_RELEASE}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 vitrine \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin vitrine \
    && install --directory --owner=vitrine --group=vitrine /models
COPY docker/triton_live.py /opt/vitrine/triton_live.py
USER 10001:10001
# 8000 (HTTP) listens on loopback, for the health check. 8001 can load models, that is, run code: publish none of them.
EXPOSE 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "/opt/vitrine/triton_live.py"]
# NVIDIA's entry point is kept, because it sets up CUDA's compatibility libraries; it ends with exec, so SIGTERM reaches
# the server. The flags are those of runtime/triton.py; what differs, docker/triton_cpu.py explains.
CMD ["/opt/tritonserver/bin/tritonserver", \
     "--model-repository=/models", \
     "--model-control-mode=explicit", \
     "--disable-auto-complete-config", \
     "--exit-on-error=false", \
     "--exit-timeout-secs=3", \
     "--http-address=127.0.0.1", \
     "--http-port=8000", \
     "--grpc-address=0.0.0.0", \
     "--grpc-port=8001", \
     "--metrics-address=0.0.0.0", \
     "--metrics-port=8002", \
     "--log-format=ISO8601"]
