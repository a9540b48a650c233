"""``python -m vru.camera_service``."""

from pydantic import ValidationError

from vru.camera_service.app import create_camera_service
from vru.camera_service.settings import CameraServiceSettings
from vru.service.app import fail, serve

if __name__ == "__main__":
    try:
        settings = CameraServiceSettings()
    except ValidationError as error:
        fail(error)
    serve(lambda: create_camera_service(settings), settings.camera_service_port)
