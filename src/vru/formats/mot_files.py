"""MOT Challenge on disk: the folders of sequences, and what their seqinfo.ini says."""

import configparser
from contextlib import ExitStack
from pathlib import Path

from vru.formats.annotations import Annotations, Boxes, FormatError, shown
from vru.formats.limits import MOST_FRAMES
from vru.formats.mot import MotSequence, read_mot, read_mot_results
from vru.formats.registry import WHAT_IS_READ, Asked, Format, Opening
from vru.formats.text_files import is_number, label_files, text_lines


def _sniff(opening: Opening) -> bool:
    if opening.path.is_dir() and _sequence_folders(opening.path):
        return True
    first = opening.first_line
    if "," in first:
        return is_number(first.split(",")[0].strip())
    columns = first.split()
    return 7 <= len(columns) <= 10 and all(map(is_number, columns))


def _sequence_folders(path: Path) -> list[Path]:
    """The truth files of a folder of MOT sequences."""
    found = []
    for folder in sorted(item for item in path.iterdir() if item.is_dir()):
        for truth in (folder / "gt" / "gt.txt", folder / "gt.txt"):
            if truth.is_file():
                found.append(truth)
                break
    if not found:
        own = [truth for truth in (path / "gt" / "gt.txt", path / "gt.txt") if truth.is_file()]
        return own[:1]
    return found


def _sequence_of(truth: Path) -> Path:
    """The folder of a sequence, from its truth file."""
    return truth.parent.parent if truth.parent.name == "gt" else truth.parent


def _truth(path: Path, asked: Asked) -> Annotations:
    truths = _sequence_folders(path) if path.is_dir() else [path]
    truths = truths or label_files(path)
    by_folder = path.is_file() or bool(_sequence_folders(path))
    with ExitStack() as stack:
        sequences = []
        for truth in truths:
            folder = _sequence_of(truth)
            name = folder.resolve().name if by_folder and truth.stem == "gt" else truth.stem
            info = _seqinfo(folder / "seqinfo.ini") if by_folder else {}
            stream = stack.enter_context(truth.open("rb"))
            length = info.get("seqlength") if asked.frames is None else asked.frames
            labels = tuple(text_lines(truth.with_name("labels.txt")))
            size = info.get("imwidth"), info.get("imheight")
            sequences.append(MotSequence(name, stream, str(truth), length, *size, labels))
        return read_mot(sequences)


def _seqinfo(path: Path) -> dict[str, int]:
    """Length and size from a sequence's seqinfo.ini, as far as it says them."""
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        found = {
            name: parser.getint("Sequence", name)
            for name in ("seqlength", "imwidth", "imheight")
            if parser.has_option("Sequence", name)
        }
    except (configparser.Error, ValueError) as error:
        raise FormatError(
            f"{path}: {str(error).splitlines()[0][:200]}.", "It must have a section [Sequence]."
        ) from None
    for name, value in found.items():
        if not 0 < value <= MOST_FRAMES:
            raise FormatError(f"{path}: {name} is {shown(value)}, not 1 to {MOST_FRAMES}.", "Correct it.")
    return found


def _results(path: Path, truth: Annotations) -> Boxes:
    with ExitStack() as stack:
        sequences = [
            MotSequence(
                file.stem,
                stack.enter_context(file.open("rb")),
                str(file),
                labels=tuple(text_lines(file.with_name("labels.txt"))),
            )
            for file in label_files(path)
        ]
        if not sequences:
            raise FormatError(f"{path} has no .txt file.", WHAT_IS_READ)
        return read_mot_results(sequences, truth)


MOT = Format(_sniff, _truth, _results)
