# The trainer: makes an artifact from a log and fills Redis, then ends. Serves nothing.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS packages
# torch's CPU build has an index of its own; the rest is locked by hash. Its version is pyproject's.
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv /opt/relist \
 && /opt/relist/bin/python -m pip install --no-cache-dir --no-deps --only-binary :all: \
      --index-url "${TORCH_INDEX}" "${TORCH}"
# Where all other packages come from; empty is the index that pip is configured for.
ARG PIP_INDEX_URL=""
COPY docker/locks/trainer.txt /tmp/lock.txt
RUN /opt/relist/bin/python -m pip install --no-cache-dir --no-deps --require-hashes \
      --only-binary :all: -r /tmp/lock.txt

FROM packages AS commands
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY model model
COPY export export
COPY service service
COPY loadtest loadtest
RUN /opt/relist/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheel .

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="relist-trainer" \
      org.opencontainers.image.description="Trains and exports an artifact of relist, fills Redis, ends" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Threads that wait by spinning make training ten times slower on a busy machine.
ENV PATH=/opt/relist/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=PASSIVE \
    ORT_DISABLE_TELEMETRY=1 \
    HOME=/run/relist \
    RELIST_RUN=/run/relist
WORKDIR /app
COPY --from=packages /opt/relist /opt/relist
COPY docker/train.sh LICENSE ./
COPY model/config/presets configs
RUN --mount=type=bind,from=commands,source=/wheel,target=/wheel \
    python -m pip install --no-cache-dir --no-deps --no-index /wheel/*.whl \
 && install -d -o 10001 -g 10001 /run/relist
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/train.sh"]
