"""``python -m vru.frontend``: serve the page."""

from vru.frontend.app import create_frontend
from vru.service.app import serve
from vru.service.settings import ServiceSettings

if __name__ == "__main__":
    serve(create_frontend, ServiceSettings().frontend_port)
