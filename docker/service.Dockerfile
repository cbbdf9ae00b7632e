# The service: what answers POST /rerank, and no training library.
# Needs an artifact (RERANK_ARTIFACT_DIR), normally a Redis too; works with a read-only root.
# Without numba, smaller and slower: --build-arg LOCK=service-without-fast
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS packages
# Where packages come from; empty is the index that pip is configured for.
ARG PIP_INDEX_URL=""
ARG LOCK=service
COPY docker/locks/${LOCK}.txt /tmp/lock.txt
RUN python -m venv --without-pip /opt/relist \
 && python -m pip --python /opt/relist/bin/python install --no-cache-dir --no-deps \
      --require-hashes --only-binary :all: -r /tmp/lock.txt

FROM ${PYTHON_IMAGE} AS code
WORKDIR /app
COPY LICENSE docker/healthcheck.py ./
COPY model/__init__.py model/
COPY model/contract model/contract
COPY service service
# Compiled here: the root is read-only where it runs, and every worker would compile anew.
RUN python -m compileall -q --invalidation-mode unchecked-hash model service

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="relist" \
      org.opencontainers.image.description="The last stage of a recommendation stack: serves the best list" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/relist/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    NUMBA_CACHE_DIR=/tmp/relist-kernels \
    NUMBA_CPU_NAME=generic \
    RERANK_HOST=0.0.0.0 \
    RERANK_PORT=8000
WORKDIR /app
COPY --from=packages /opt/relist /opt/relist
COPY --from=code /app /app
# Kernels for any processor of this architecture; compiling takes 5 s at each start.
RUN mkdir kernels && NUMBA_CACHE_DIR=/app/kernels python -c "from model.contract.kernels import compilation; \
      compilation.select_implementation('auto') == 'numba' and compilation.compile_kernels()"
# Whichever container is first gives an empty volume its owner.
RUN install -d -o 10001 -g 10001 /run/relist
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "/app/healthcheck.py"]
# numba reads its cache from a writable folder only. Without one the kernels are compiled at start.
ENTRYPOINT ["/bin/sh", "-c", "cp -R /app/kernels \"$NUMBA_CACHE_DIR\" || true; exec python -m service.cli.main serve \"$@\"", "relist"]
