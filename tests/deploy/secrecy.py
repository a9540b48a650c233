"""Which container needs which secret: the one table that the tests of the compose file and of a server share."""

from collections.abc import Mapping

NEEDED: Mapping[str, frozenset[str]] = {
    "VRU_DATABASE_PASSWORD": frozenset({"postgres", "migrate"}),
    "VRU_API_GATEWAY_DATABASE_PASSWORD": frozenset({"migrate", "api_gateway"}),
    "VRU_VALIDATION_ENGINE_DATABASE_PASSWORD": frozenset({"migrate", "validation_engine"}),
    "VRU_VALIDATION_WORKER_DATABASE_PASSWORD": frozenset({"migrate", "validation_worker"}),
    "VRU_CAMERA_SERVICE_DATABASE_PASSWORD": frozenset({"migrate", "camera_service"}),
    "VRU_SIGNER_DATABASE_PASSWORD": frozenset({"migrate", "signer"}),
    "VRU_REDIS_PASSWORD": frozenset(),
    "VRU_TLS_SEED": frozenset(),
    "VRU_SECRET_KEY": frozenset({"api_gateway"}),
    "VRU_ADMIN_PASSWORD": frozenset({"api_gateway"}),
    "VRU_GRAFANA_PASSWORD": frozenset({"grafana"}),
    "VRU_ML_ENGINE_SECRET": frozenset({"ml_engine", "api_gateway", "validation_engine", "validation_worker"}),
    "VRU_CAMERA_SERVICE_SECRET": frozenset({"camera_service", "api_gateway"}),
    "VRU_VALIDATION_ENGINE_SECRET": frozenset({"validation_engine", "api_gateway"}),
    "VRU_SIGNER_SECRET": frozenset({"signer", "validation_engine", "validation_worker"}),
    "VRU_API_GATEWAY_REDIS_PASSWORD": frozenset({"api_gateway"}),
    "VRU_VALIDATION_ENGINE_REDIS_PASSWORD": frozenset({"validation_engine"}),
    "VRU_VALIDATION_WORKER_REDIS_PASSWORD": frozenset({"validation_worker"}),
    "VRU_CAMERA_SERVICE_REDIS_PASSWORD": frozenset({"camera_service"}),
}
