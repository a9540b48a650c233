"""``python -m vru.validation_engine``: the validation engine on port 8003."""

from pydantic import ValidationError

from vru.service.app import fail, serve
from vru.validation_engine.app import create_validation_engine
from vru.validation_engine.settings import EngineSettings


def main() -> None:
    """Run the service."""
    try:
        settings = EngineSettings()
    except ValidationError as error:
        fail(error)
    serve(lambda: create_validation_engine(settings), settings.validation_engine_port)


if __name__ == "__main__":
    main()
