"""What signal sources say, on its way to Redis and PostgreSQL: a spool on disk, and one thread for each destination."""

from vru.camera_service.delivery.deliverer import Deliverer, DestinationState
from vru.camera_service.delivery.destinations import Destination, PostgresDestination, RedisDestination
from vru.camera_service.delivery.spool import Spool

__all__ = ["Deliverer", "Destination", "DestinationState", "PostgresDestination", "RedisDestination", "Spool"]
