"""``python -m vru.validation_engine``: the validation engine on port 8003."""

from pydantic import ValidationError

from vru.service.app import fail, serve
from vru.service.settings import ServiceSettings
from vru.validation_engine.app import create_validation_engine


def main() -> None:
    """Run the service."""
    try:
        settings = ServiceSettings()
    except ValidationError as error:
        fail(error)
    serve(lambda: create_validation_engine(settings), settings.validation_engine_port)


if __name__ == "__main__":
    main()
