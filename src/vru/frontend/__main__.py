"""``python -m vru.frontend``: serve the page."""

from vru.frontend.app import FrontendSettings, create_frontend
from vru.service.app import serve

if __name__ == "__main__":
    serve(create_frontend, FrontendSettings().frontend_port)
