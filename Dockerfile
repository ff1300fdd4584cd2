# The service and its embedded engine. Build:  docker build -t fanlight .
# Run:  docker run -p 8080:8080 -v fanlight:/data -e FANLIGHT_API_KEYS=me:$(printf %s KEY | sha256sum | cut -c1-64) fanlight
# Root may be read-only: `docker run --read-only --tmpfs /tmp …`. What is written is under /data, and in /tmp.
# To have the very same base each time: --build-arg BASE=python:…@sha256:…
ARG BASE=python:3.13.9-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
# For the fan-out's innermost loop; without a compiler Python does the same.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/fanlight
COPY pyproject.toml setup.py README.md LICENSE NOTICES.md ./
COPY protocol protocol
COPY service service
COPY config config
COPY engine engine
COPY fanlight fanlight
# The browser module that the service serves is the file of the JavaScript package.
COPY clients/js clients/js
RUN /opt/fanlight/bin/pip install .
# The model that hears; where it cannot be fetched the image says so, and has everything else.
RUN /opt/fanlight/bin/python -m engine.models --home /opt/fanlight/weights fetch speech || true

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /data --create-home fanlight
COPY --from=build /opt/fanlight /opt/fanlight
USER fanlight
WORKDIR /data
# Beyond loopback the service wants API keys: FANLIGHT_API_KEYS, or FANLIGHT_ALLOW_OPEN=1.
ENV PATH=/opt/fanlight/bin:$PATH FANLIGHT_HOST=0.0.0.0 FANLIGHT_PORT=8080 FANLIGHT_DATA_DIR=/data/engine FANLIGHT_WEIGHTS_DIR=/opt/fanlight/weights
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['FANLIGHT_PORT']}/livez\", timeout=2)"]
CMD ["fanlight", "serve"]
