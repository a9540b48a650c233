"""``python -m vru.gateway``."""

from pydantic import ValidationError

from vru.gateway.app import create_gateway
from vru.gateway.settings import GatewaySettings
from vru.service.app import fail, serve

if __name__ == "__main__":
    try:
        settings = GatewaySettings()
    except ValidationError as error:
        fail(error)
    serve(lambda: create_gateway(settings), settings.api_gateway_port)
