"""A tiny project in the real shapes: a database, a service that is built, nginx in front, a migration, a timer."""

import hashlib
import io
import json
from dataclasses import dataclass, field

from vru.host.release.stream import encode

COMPOSE = """
name: vru-platform
services:
  postgres:
    image: postgres:17-trixie
    command: [postgres, -c, "listen_addresses=*"]
    restart: unless-stopped
    environment: {POSTGRES_USER: "${VRU_DATABASE_USER:?}", POSTGRES_DB: "${VRU_DATABASE_NAME:?}", POSTGRES_PASSWORD: "${VRU_DATABASE_PASSWORD:?}"}
    volumes: ["./data/postgres:/var/lib/postgresql/data"]
    labels: {vru.port: "5432", vru.rollout: stateful}
    healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1, -U, "${VRU_DATABASE_USER:?}"], interval: 1s, timeout: 3s, retries: 60}
  migrate:
    image: postgres:17-trixie
    profiles: [tools]
    restart: "no"
    entrypoint: [psql, "postgresql://${VRU_DATABASE_USER}:${VRU_DATABASE_PASSWORD}@postgres/${VRU_DATABASE_NAME}", -v, ON_ERROR_STOP=1, -f, /migration/schema.sql]
    volumes: ["./config/production/migration:/migration:ro"]
  api_gateway:
    image: vru-platform/api_gateway:${VRU_API_GATEWAY_TAG:?}
    build: {context: ., target: api_gateway}
    restart: unless-stopped
    init: true
    environment: {BREAK: "${BREAK:-}"}
    labels: {vru.port: "8000", vru.ready: /ready, vru.rollout: rolling, vru.routed: "true"}
    depends_on: {postgres: {condition: service_healthy}}
    healthcheck: {test: [CMD, python, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health')"], interval: 1s, timeout: 3s, retries: 3}
  nginx:
    image: nginxinc/nginx-unprivileged:1.28-trixie
    restart: unless-stopped
    entrypoint: [nginx]
    command: [-c, /etc/vru/nginx.conf, -g, "daemon off;"]
    volumes: ["./config/production:/etc/vru:ro", "./data/routes:/etc/vru-routes:ro"]
    ports: ["80:8080", "8000:8080", "3001:8080"]
    healthcheck: {test: [CMD, curl, -fsS, "http://127.0.0.1:8080/health"], interval: 1s, timeout: 3s, retries: 10}
"""  # noqa: E501
DOCKERFILE = """
FROM python:3.13-slim-trixie AS api_gateway
LABEL vru.project=vru-platform
COPY src/ /app/
CMD ["python", "/app/serve.py"]
"""
SERVE = """
import http.server, os, sys
if os.environ.get("BREAK"):
    print("the configuration is broken on purpose", flush=True)
    sys.exit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"version one\\n")
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
NGINX = """
pid /tmp/nginx.pid;
events {}
http {
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  resolver 127.0.0.11 valid=1s;
  include /etc/vru-routes/upstreams.conf;
  server {
    listen 8080;
    add_header X-Config one always;
    location / { proxy_pass http://$api_gateway; }
  }
}
"""  # noqa: E501
SCHEMA = """
CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar PRIMARY KEY);
CREATE TABLE IF NOT EXISTS projects (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO alembic_version VALUES ('0001') ON CONFLICT DO NOTHING;
DO $$ BEGIN
  IF EXISTS (SELECT FROM alembic_version WHERE version_num > '0001') THEN RAISE 'unknown revision'; END IF;
END $$;
"""
TIMER = """
[Unit]
Description=A timer
[Timer]
OnCalendar=daily
[Install]
WantedBy=timers.target
"""
TIMED = """
[Unit]
Description=What the timer starts
[Service]
Type=oneshot
ExecStart=/bin/true
"""


@dataclass
class Tiny:
    """The project's files by path, and what else its manifest says."""

    files: dict[str, str] = field(
        default_factory=lambda: {
            "docker-compose.production.yml": COMPOSE,
            "Dockerfile": DOCKERFILE,
            ".dockerignore": "*\n!src\n",
            "src/serve.py": SERVE,
            "config/production/nginx.conf": NGINX,
            "config/production/migration/schema.sql": SCHEMA,
            "/etc/systemd/system/vru-tiny.timer": TIMER,
            "/etc/systemd/system/vru-tiny.service": TIMED,
        }
    )
    env: dict[str, str] = field(
        default_factory=lambda: {
            "VRU_DATABASE_USER": "vru",
            "VRU_DATABASE_NAME": "vru",
            "VRU_DATABASE_PASSWORD": "first-Password_1",
        }
    )
    restricted: dict[str, list[str]] = field(default_factory=lambda: {"3001": ["10.9.0.0/16"]})

    def contents(self) -> dict[str, bytes]:
        """Every file of the release, with `.env` and the image's content tag in it."""
        tag = hashlib.sha256((self.files["Dockerfile"] + self.files["src/serve.py"]).encode()).hexdigest()[:12]
        env = "".join(f"{name}='{value}'\n" for name, value in {**self.env, "VRU_API_GATEWAY_TAG": tag}.items())
        return {path: text.encode() for path, text in {**self.files, ".env": env}.items()}

    def manifest(self) -> dict[str, object]:
        """The manifest, named by its content."""
        contents = self.contents()
        tag = contents[".env"].decode().split("VRU_API_GATEWAY_TAG='")[1][:12]
        manifest: dict[str, object] = {
            "protocol": 1,
            "files": [
                {
                    "path": path,
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "mode": "0600" if path == ".env" else "0644",
                }
                for path, content in sorted(contents.items())
            ],
            "directories": [{"path": "data/postgres", "uid": 999, "gid": 999, "mode": "0700"}],
            "images": [{"service": "api_gateway", "image": f"vru-platform/api_gateway:{tag}", "target": "api_gateway"}],
            "pull": ["postgres:17-trixie", "nginxinc/nginx-unprivileged:1.28-trixie"],
            "units": [{"name": "vru-tiny.timer", "enabled": True, "active": True}],
            "packages": {"docker_source": "distribution"},
            "firewall": {"ssh_ports": [22], "open": [80, 443, 3000, 8000], "restricted": self.restricted},
            "migrate": {"service": "migrate"},
        }
        manifest["release"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:12]
        return manifest


def archive(contents: dict[str, bytes], wanted: list[str], offsets: dict[str, int] | None = None) -> bytes:
    """The pieces called ``wanted`` (sha256) as the stream that ``receive`` reads, each from its offset on."""
    pieces = {hashlib.sha256(content).hexdigest(): content for content in contents.values()}
    records = []
    for name in wanted:
        offset = (offsets or {}).get(name, 0)
        line = {"sha256": name, "size": len(pieces[name]), "offset": offset}
        records.append((line, len(pieces[name]) - offset, io.BytesIO(pieces[name][offset:])))
    return b"".join(encode(records))
