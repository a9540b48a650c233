"""``python -m vru.signer`` serves; ``python -m vru.signer new-key`` replaces a key that is lost or known to others."""

import asyncio
import sys

from pydantic import ValidationError

from vru.domain import VruError
from vru.reports.signing import fingerprint
from vru.service.app import fail, serve
from vru.service.database.sessions import Database
from vru.signer.app import create_signer, last_known
from vru.signer.ledger import Ledger
from vru.signer.settings import SignerSettings


async def _last_known(settings: SignerSettings) -> int:
    database = Database(settings)
    try:
        return await last_known(database)
    finally:
        await database.close()


def main() -> None:
    """Serve, or replace the key."""
    if sys.argv[1:] not in ([], ["new-key"]):
        sys.stderr.write("usage: python -m vru.signer [new-key]\n")
        sys.exit(2)
    try:
        settings = SignerSettings()
        if sys.argv[1:]:
            seal = Ledger(settings.signer_dir).replace_key(asyncio.run(_last_known(settings)))
            sys.stdout.write(f"The key is {fingerprint(seal.key())} from seal {seal.position} on. Publish it.\n")
            return
    except (VruError, ValidationError) as error:
        fail(error)
    serve(create_signer, settings.signer_port)


if __name__ == "__main__":
    main()
