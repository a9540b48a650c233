"""Start one bare server by hand: ``python -m tests.e2e.bareserver [NAME] [ADDRESS]``."""

import sys

from .server import BareServer


def main() -> None:
    """Start one server, say how to reach it, and leave it there."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.42"
    server = BareServer(name, address=address).start()
    print(f"name         {server.name}")
    print(f"ssh          {' '.join(server.ssh_command())}")
    print(f"fingerprint  {server.host_key_fingerprint()}")
    print(f"remove       docker rm -f -v {server.name} && docker volume rm {server.volume}")


if __name__ == "__main__":
    main()
