# One target a service. Dependencies are layers of their own: a changed line of code rebuilds only the last ones.
# The tags of the images are made from what is copied here: src/vru/deploy/release/topology.py reads it.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
ARG NODE_IMAGE=node:24-trixie-slim

# --- uv, and what it needs to install: the lock, and the package's name and version without its rooms ---
FROM ${PYTHON_IMAGE} AS builder
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --root-user-action=ignore --disable-pip-version-check uv==0.13.9
WORKDIR /build
COPY pyproject.toml uv.lock hatch_build.py ./
COPY src/vru/__init__.py src/vru/py.typed src/vru/
# The package's metadata names these two files; images do not need what they say.
RUN touch README.md LICENSE

# --- the page ---
FROM ${NODE_IMAGE} AS page
WORKDIR /build/web
COPY src/vru/frontend/web/package.json src/vru/frontend/web/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY src/vru/frontend/web/ ./
RUN npm run build

# --- what every service's image begins with ---
FROM ${PYTHON_IMAGE} AS runtime
LABEL vru.project=vru-platform org.opencontainers.image.licenses=Apache-2.0
# No program here makes its user another one (su, mount, passwd, ...): nothing needs them.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && groupadd --gid 10001 vru \
 && useradd --uid 10001 --gid vru --no-create-home --home-dir /tmp --shell /usr/sbin/nologin vru \
 && install -d -o vru -g vru /var/lib/vru /var/lib/vru/media
ENV PATH=/app/.venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    VRU_BIND_HOST=0.0.0.0
WORKDIR /app
ARG SITE=/app/.venv/lib/python3.13/site-packages/vru

# What all services use is one layer that all images share; each adds only its own. uv itself stays outside.
FROM runtime AS service_packages
ARG UV_PYTHON=/usr/local/bin/python3.13 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app/.venv \
    UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_PROGRESS=1 UV_CACHE_DIR=/var/cache/uv
RUN --mount=type=bind,from=builder,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=builder,source=/build,target=/build,rw --mount=type=cache,target=/var/cache/uv \
    uv sync --directory /build --frozen --no-dev --no-editable --extra service && rm /app/.venv/bin/vru*

FROM service_packages AS api_gateway
RUN --mount=type=bind,from=builder,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=builder,source=/build,target=/build,rw --mount=type=cache,target=/var/cache/uv \
    uv sync --directory /build --frozen --no-dev --no-editable --extra gateway
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/formats/ ${SITE}/formats/
COPY src/vru/sandbox/ ${SITE}/sandbox/
COPY src/vru/media/ ${SITE}/media/
COPY src/vru/reports/ ${SITE}/reports/
COPY src/vru/evaluation/ ${SITE}/evaluation/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/gateway/ ${SITE}/gateway/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "vru.gateway"]

FROM service_packages AS ml_engine
RUN --mount=type=bind,from=builder,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=builder,source=/build,target=/build,rw --mount=type=cache,target=/var/cache/uv \
    uv sync --directory /build --frozen --no-dev --no-editable --extra ml-engine
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/sandbox/ ${SITE}/sandbox/
COPY src/vru/media/ ${SITE}/media/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/ml_engine/ ${SITE}/ml_engine/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8001
CMD ["python", "-m", "vru.ml_engine"]

FROM service_packages AS camera_service
RUN --mount=type=bind,from=builder,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=builder,source=/build,target=/build,rw --mount=type=cache,target=/var/cache/uv \
    uv sync --directory /build --frozen --no-dev --no-editable --extra camera-service
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/sandbox/ ${SITE}/sandbox/
COPY src/vru/media/ ${SITE}/media/
# The rig's proof and its roads from files need these three; the service itself loads none of them.
COPY src/vru/formats/ ${SITE}/formats/
COPY src/vru/reports/ ${SITE}/reports/
COPY src/vru/evaluation/ ${SITE}/evaluation/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/scenes/ ${SITE}/scenes/
COPY src/vru/signals/ ${SITE}/signals/
COPY src/vru/rig/ ${SITE}/rig/
COPY src/vru/camera_service/ ${SITE}/camera_service/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8002
CMD ["python", "-m", "vru.camera_service"]

# The workers and the migrations run in this image too.
FROM service_packages AS validation_engine
RUN --mount=type=bind,from=builder,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=builder,source=/build,target=/build,rw --mount=type=cache,target=/var/cache/uv \
    uv sync --directory /build --frozen --no-dev --no-editable --extra validation-engine
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/formats/ ${SITE}/formats/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/reports/ ${SITE}/reports/
COPY src/vru/evaluation/ ${SITE}/evaluation/
COPY src/vru/signer/ ${SITE}/signer/
COPY src/vru/validation_engine/ ${SITE}/validation_engine/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8003
CMD ["python", "-m", "vru.validation_engine"]

FROM service_packages AS frontend
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/frontend/*.py ${SITE}/frontend/
COPY --from=page /build/static/ ${SITE}/frontend/static/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 3000
CMD ["python", "-m", "vru.frontend"]
