# Load: locust with its web page, or one headless run that ends with a verdict as its exit status.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS packages
# Where packages come from; empty is the index that pip is configured for.
ARG PIP_INDEX_URL=""
COPY docker/locks/locust.txt /tmp/lock.txt
RUN python -m venv --without-pip /opt/relist \
 && python -m pip --python /opt/relist/bin/python install --no-cache-dir --no-deps \
      --require-hashes --only-binary :all: -r /tmp/lock.txt

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="relist-locust" \
      org.opencontainers.image.description="Loads a relist service and says whether it met its objective" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/relist/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LOCUST_LOCUSTFILE=/app/loadtest/locustfile.py \
    LOCUST_REQUESTS=/run/relist/generator/requests.jsonl
WORKDIR /app
COPY --from=packages /opt/relist /opt/relist
COPY LICENSE ./
COPY loadtest loadtest
# Whichever container is first gives an empty volume its owner.
RUN install -d -o 10001 -g 10001 /run/relist
USER 10001:10001
EXPOSE 8089
STOPSIGNAL SIGTERM
ENTRYPOINT ["locust"]
