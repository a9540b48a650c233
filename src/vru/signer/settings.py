"""Settings of the signer."""

from pathlib import Path

from pydantic import Field

from vru.service.settings import ServiceSettings


class SignerSettings(ServiceSettings):
    """What the signer reads besides what every service reads."""

    signer_dir: Path = Field(Path("/var/lib/vru/signer"), description="where the signing key and the ledger are")
