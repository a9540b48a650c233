"""Which container needs which secret: the one table that the tests of the compose file and of a server share."""

from collections.abc import Mapping

NEEDED: Mapping[str, frozenset[str]] = {
    "VRU_DATABASE_PASSWORD": frozenset(
        {"postgres", "migrate", "api_gateway", "validation_engine", "validation_worker", "signer"}
    ),
    "VRU_REDIS_PASSWORD": frozenset({"api_gateway", "validation_engine", "validation_worker"}),
    "VRU_SECRET_KEY": frozenset({"api_gateway"}),
    "VRU_ADMIN_PASSWORD": frozenset({"api_gateway"}),
    "VRU_GRAFANA_PASSWORD": frozenset({"grafana"}),
}
