"""What a variable may hold. Each check takes the text and raises ValueError saying what is allowed."""

import ipaddress
import re
import string
from collections.abc import Callable
from urllib.parse import urlsplit

_SAFE = set(string.ascii_letters + string.digits + "@%_-+=:,./")
_SECRET_LENGTH = 16
_KEY_LENGTH = 32


def quoted(value: str) -> str:
    """The value as an environment file holds it: bare where that is safe, else in single quotes.

    Compose and the shell take what stands between single quotes literally, so ``$`` stays ``$``.
    """
    return value if set(value) <= _SAFE else f"'{value}'"


def text(value: str) -> str:
    """Anything that an environment file can hold.

    Raises:
        ValueError: it holds a single quote, a line break or another control character.
    """
    bad = sorted({character for character in value if character == "'" or not character.isprintable()})
    if bad:
        raise ValueError(f"must not hold {', '.join(map(repr, bad))}")
    if value.endswith("\\"):
        raise ValueError("must not end with a backslash")
    return value


def word(value: str) -> str:
    """A name without spaces."""
    return _match(value, r"[A-Za-z_][A-Za-z0-9_.-]*", "must be a name of letters, digits and _ . -")


def identifier(value: str) -> str:
    """A name that SQL takes without quotes."""
    return _match(value, r"[a-z_][a-z0-9_]{0,62}", "must be of lower-case letters, digits and _, at most 63")


def secret(value: str) -> str:
    """A password or key."""
    text(value)
    if len(value) < _SECRET_LENGTH:
        raise ValueError(f"must have {_SECRET_LENGTH} characters or more")
    if not value.isascii() or " " in value:
        raise ValueError("must be of ASCII characters without spaces")
    return value


def key(value: str) -> str:
    """A key that signs or hides something."""
    secret(value)
    if len(value) < _KEY_LENGTH:
        raise ValueError(f"must have {_KEY_LENGTH} characters or more")
    return value


def host(value: str) -> str:
    """A host name or an IP address."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return _match(
            value, r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?", "must be a host name or an IP address"
        )


def ip(value: str) -> str:
    """An IP address."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be an IP address") from None


def published(address: str, port: str) -> str:
    """Address and port as a Compose file has them; the port alone is all addresses, IPv4 and IPv6 (``::``)."""
    if address == "::":
        return port
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def port(value: str) -> int:
    """A TCP port."""
    return _integer(value, 1, 65535)


def positive(value: str) -> int:
    """1, 2, 3, ..."""
    return _integer(value, 1, 10**9)


def natural(value: str) -> int:
    """0, 1, 2, ..."""
    return _integer(value, 0, 10**9)


def seconds(value: str) -> float:
    """A positive number of seconds."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 0 < number <= 24 * 3600:
        raise ValueError("must be a number of seconds, at most a day")
    return number


def patience(value: str) -> float:
    """A number of seconds, at most an hour; 0 for no patience at all."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 0 <= number <= 3600:
        raise ValueError("must be a number of seconds, at most 3600")
    return number


def hours(value: str) -> float:
    """A number of hours, at most 30 days."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be a number of hours") from None
    if not 0 < number <= 24 * 30:
        raise ValueError("must be a number of hours, at most 720")
    return number


def cpus(value: str) -> float:
    """A number of CPU cores; halves and the like are allowed."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be a number of CPU cores, such as 2 or 0.5") from None
    if not 0.01 <= number <= 1024:
        raise ValueError("must be a number of CPU cores, such as 2 or 0.5")
    return number


def size(value: str) -> int:
    """A size in Docker's words, such as ``512m`` or ``3g``.

    Returns:
        Bytes.
    """
    found = re.fullmatch(r"(\d+)([kmg]?)b?", value.lower())
    if not found or int(found[1]) == 0:
        raise ValueError("must be a size such as 512m or 3g")
    return int(found[1]) * {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}[found[2]]


def byte_size(value: str) -> str:
    """A size in Prometheus's words."""
    return _match(value, r"[1-9]\d*(MB|GB|TB)", "must be a size such as 512MB or 4GB")


def duration(value: str) -> str:
    """A duration in Prometheus's words."""
    return _match(value, r"[1-9]\d*[hdwy]", "must be a duration such as 12h, 30d or 1y")


def time_of_day(value: str) -> str:
    """Hours and minutes."""
    return _match(value, r"([01]\d|2[0-3]):[0-5]\d", "must be a time such as 03:15")


def email(value: str) -> str:
    """An e-mail address."""
    return _match(value, r"[^@\s']+@[^@\s']+\.[^@\s'.]+", "must be an e-mail address")


def image(value: str) -> str:
    """The name of an image, with its tag or digest."""
    return _match(
        value,
        r"[a-z0-9][a-z0-9._/:-]*(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})",
        "must be an image with its tag, such as redis:8-trixie",
    )


def image_prefix(value: str) -> str:
    """What stands before ``/SERVICE:TAG``."""
    return _match(
        value, r"[a-z0-9]+([._/:-][a-z0-9]+)*", "must be the beginning of an image's name, such as vru-platform"
    )


def items(value: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in value.split(",") if part.strip()]


def networks(value: str) -> list[str]:
    """Networks such as ``10.0.0.0/8``, comma-separated; a single address stands for itself."""
    found = []
    for part in items(value):
        try:
            found.append(str(ipaddress.ip_network(part)))
        except ValueError as error:
            raise ValueError(f"must be networks such as 10.0.0.0/8, comma-separated: {error}") from None
    return found


def subnet(value: str) -> str:
    """A private IPv4 network with room for nginx."""
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"must be an IPv4 network such as 172.30.77.0/24: {error}") from None
    if not network.is_private or not 16 <= network.prefixlen <= 29:
        raise ValueError("must be a private IPv4 network between /16 and /29")
    return value


def url(value: str) -> str:
    """An http or https address."""
    text(value)
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in value or '"' in value:
        raise ValueError("must be an address that begins with http:// or https://")
    return value


def origins(value: str) -> list[str]:
    """Origins such as ``https://vru.example.com``, comma-separated."""
    found = items(value)
    for part in found:
        parts = urlsplit(part)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query or '"' in part:
            raise ValueError(f"must be origins such as https://vru.example.com, comma-separated: {part!r} is none")
    return found


def hosts(value: str) -> list[str]:
    """Host names and addresses, comma-separated."""
    return [host(part) for part in items(value)]


def one_of(*allowed: str) -> Callable[[str], str]:
    """A check for a choice."""

    def check(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"must be {' or '.join(allowed)}")
        return value

    return check


def _match(value: str, pattern: str, wanted: str) -> str:
    if not re.fullmatch(pattern, value):
        raise ValueError(wanted)
    return value


def _integer(value: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,12}", value, re.ASCII) or not low <= int(value) <= high:
        raise ValueError(f"must be a whole number from {low} to {high}")
    return int(value)
