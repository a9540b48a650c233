"""``python -m vru.ml_engine``."""

from pydantic import ValidationError

from vru.ml_engine.app import create_ml_engine
from vru.ml_engine.settings import MlEngineSettings
from vru.service.app import fail, serve

if __name__ == "__main__":
    try:
        settings = MlEngineSettings()
    except ValidationError as error:
        fail(error)
    serve(lambda: create_ml_engine(settings), settings.ml_engine_port)
