# One target a service. Dependencies are layers of their own: a changed line of code rebuilds only the last ones.
# src/vru/deploy/images.py lists the same inputs; the tags of the images are made from them.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
ARG NODE_IMAGE=node:24-trixie-slim

# --- the locked dependencies, and the package's name and version without its rooms ---
FROM ${PYTHON_IMAGE} AS builder
RUN --mount=type=cache,target=/root/.cache/pip pip install --root-user-action=ignore --disable-pip-version-check uv==0.13.9
ENV UV_PYTHON=/usr/local/bin/python3.13 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app/.venv \
    UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_PROGRESS=1
WORKDIR /build
COPY pyproject.toml uv.lock ./
COPY src/vru/__init__.py src/vru/py.typed src/vru/
# The package's metadata names these two files; images do not need what they say.
RUN touch README.md LICENSE

FROM builder AS api_gateway_packages
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-editable --extra gateway && rm /app/.venv/bin/vru*

FROM builder AS ml_engine_packages
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-editable --extra ml-engine && rm /app/.venv/bin/vru*

FROM builder AS camera_service_packages
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-editable --extra camera-service && rm /app/.venv/bin/vru*

FROM builder AS validation_engine_packages
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-editable --extra validation-engine && rm /app/.venv/bin/vru*

FROM builder AS frontend_packages
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-dev --no-editable --extra frontend && rm /app/.venv/bin/vru*

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
RUN groupadd --gid 10001 vru \
 && useradd --uid 10001 --gid vru --no-create-home --home-dir /tmp --shell /usr/sbin/nologin vru \
 && install -d -o vru -g vru /var/lib/vru /var/lib/vru/media
ENV PATH=/app/.venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    VRU_BIND_HOST=0.0.0.0
WORKDIR /app
ARG SITE=/app/.venv/lib/python3.13/site-packages/vru

FROM runtime AS api_gateway
COPY --from=api_gateway_packages /app/.venv /app/.venv
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/gateway/ ${SITE}/gateway/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "vru.gateway"]

FROM runtime AS ml_engine
COPY --from=ml_engine_packages /app/.venv /app/.venv
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/ml_engine/ ${SITE}/ml_engine/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8001
CMD ["python", "-m", "vru.ml_engine"]

FROM runtime AS camera_service
COPY --from=camera_service_packages /app/.venv /app/.venv
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/scenes/ ${SITE}/scenes/
COPY src/vru/camera_service/ ${SITE}/camera_service/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8002
CMD ["python", "-m", "vru.camera_service"]

# The workers and the migrations run in this image too.
FROM runtime AS validation_engine
COPY --from=validation_engine_packages /app/.venv /app/.venv
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/evaluation/ ${SITE}/evaluation/
COPY src/vru/validation_engine/ ${SITE}/validation_engine/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 8003
CMD ["python", "-m", "vru.validation_engine"]

FROM runtime AS frontend
COPY --from=frontend_packages /app/.venv /app/.venv
COPY src/vru/domain/ ${SITE}/domain/
COPY src/vru/service/ ${SITE}/service/
COPY src/vru/frontend/*.py ${SITE}/frontend/
COPY --from=page /build/static/ ${SITE}/frontend/static/
RUN python -m compileall -q ${SITE}
USER 10001:10001
EXPOSE 3000
CMD ["python", "-m", "vru.frontend"]
