"""``python -m vru.scenes NAME OUTDIR``: write a scene as video.mp4 and annotations.coco.json."""

import json
import sys
from pathlib import Path

from vru.domain import VruError
from vru.scenes import SCENE_NAMES, ground_truth, scene, to_coco, write_video

_USAGE = f"usage: python -m vru.scenes NAME OUTDIR\n  NAME is one of: {', '.join(SCENE_NAMES)}"


def main(arguments: list[str]) -> int:
    """Write the scene; 0 if it went well, 1 if it did not, 2 for wrong arguments."""
    if len(arguments) != 2:
        print(_USAGE, file=sys.stderr)
        return 2
    name, folder = arguments[0], Path(arguments[1])
    try:
        chosen = scene(name)
        folder.mkdir(parents=True, exist_ok=True)
        write_video(chosen, folder / "video.mp4")
        document = to_coco(ground_truth(chosen), "video.mp4", chosen.times)
        (folder / "annotations.coco.json").write_text(json.dumps(document, indent=1) + "\n")
    except (VruError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder / 'video.mp4'}\n{folder / 'annotations.coco.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
