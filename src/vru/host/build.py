"""Build ``vru-platform.pyz``: this package as one file that any Python 3.10 runs. The same sources, the same bytes."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

import vru

_PACKAGE = Path(__file__).parent
_OWN = "build.py"
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows
_MAIN = "import sys\n\nfrom vru.host.__main__ import main\n\nsys.exit(main())\n"


@lru_cache(maxsize=1)
def build_pyz() -> bytes:
    """Return the program's bytes: a shebang and a zip archive of ``vru/__init__.py`` and ``vru/host``."""
    sources = {"__main__.py": _MAIN.encode(), "vru/__init__.py": Path(str(vru.__file__)).read_bytes()}
    for path in _PACKAGE.rglob("*.py"):
        name = path.relative_to(_PACKAGE).as_posix()
        if name != _OWN:
            sources[f"vru/host/{name}"] = path.read_bytes()
    archive = io.BytesIO()
    archive.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        for name in sorted(sources):
            member = zipfile.ZipInfo(name, _TIME)
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(member, sources[name], zipfile.ZIP_DEFLATED, 6)
    return archive.getvalue()
