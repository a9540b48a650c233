"""Videos with ground truth for tests that have no real one."""

from pathlib import Path

from vru.scenes.__main__ import main


def write_scene(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a synthetic scene; its video and its ground truth (COCO)."""
    assert main([name, str(folder)]) == 0
    return folder / "video.mp4", folder / "annotations.coco.json"
