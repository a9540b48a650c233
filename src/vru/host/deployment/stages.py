"""The stages of a change, in their order: a plan lists its changes by them, and the executor walks them."""

from __future__ import annotations

from dataclasses import dataclass

from ..docker.compose import View

SETUP, TRANSFER, ORCHESTRATION, INTEGRATION, VERIFICATION = (
    "setup", "transfer", "orchestration", "integration", "verification",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One stage: its name in the journal, and the phase under which users know it."""

    name: str
    phase: str


DOCKER = Stage("docker", SETUP)
DIRECTORIES = Stage("directories", SETUP)
FILES = Stage("files", TRANSFER)
KERNEL = Stage("kernel settings", SETUP)
FIREWALL = Stage("firewall", SETUP)
IMAGE_TAGS = Stage("image tags", ORCHESTRATION)
PULL = Stage("pull images", ORCHESTRATION)
BUILD = Stage("build images", ORCHESTRATION)
REPAIRS = Stage("what was changed by hand", ORCHESTRATION)
STORES = Stage("start stores", ORCHESTRATION)
PASSWORD = Stage("database password", ORCHESTRATION)
MIGRATE = Stage("migrate", ORCHESTRATION)
IN_PLACE = Stage("start services in place", ORCHESTRATION)
ROLLING = Stage("start services", ORCHESTRATION)
NGINX = Stage("nginx configuration", INTEGRATION)
UNITS = Stage("units", INTEGRATION)
RELEASE = Stage("release", VERIFICATION)

STAGES = (
    DOCKER, DIRECTORIES, FILES, KERNEL, FIREWALL, IMAGE_TAGS, PULL, BUILD, REPAIRS, STORES, PASSWORD, MIGRATE,
    IN_PLACE, ROLLING, NGINX, UNITS, RELEASE,
)  # fmt: skip
# Those of `vru setup`; of the files, it places what belongs to the system and the host program itself.
OF_SETUP = frozenset({DOCKER, DIRECTORIES, KERNEL, FIREWALL})
_ORDER = {stage.name: number for number, stage in enumerate(STAGES)}


def order(stage: str) -> int:
    """The place of a stage among all of them, by its name."""
    return _ORDER[stage]


def of_service(view: View, service: str) -> Stage:
    """The stage in which a service's containers are replaced; those of none are removed with what is in place."""
    if service in view.stateful:
        return STORES
    return ROLLING if service in view.rolling else IN_PLACE
