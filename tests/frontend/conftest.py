from pathlib import Path

import pytest


@pytest.fixture
def script() -> str:
    """A hashed asset of the page in ``built``."""
    return "assets/index-AbCd1234.js"


@pytest.fixture
def built(tmp_path: Path, script: str) -> Path:
    """A small page as Vite lays it out."""
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text(
        f'<meta name="csp-nonce" content="__CSP_NONCE__"><script src="/{script}"></script>'
    )
    (static / script).write_text("console.log('page');\n" * 200)
    (static / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (static / ".sources.sha256").write_text("not for readers")
    return static
