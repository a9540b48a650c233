import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.domain import Signal, SignalKind, VruClass
from vru.formats import FormatError, read_markers, read_signals

HEADER = "time_ns,kind,class,value,source,id,video\n"


def write(folder: Path, text: str, name: str = "signals.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_csv(tmp_path: Path) -> None:
    path = write(
        tmp_path, HEADER + '100,can,person,"0x1F, 2",bus0,a,\n\n100,GPIO,,,,b,\n9007199254740993,udp,child,,,,\n'
    )
    assert list(read_signals(path).signals()) == [
        Signal(100, SignalKind.CAN, VruClass.PEDESTRIAN, "0x1F, 2", "bus0"),
        Signal(100, SignalKind.GPIO),
        # More digits than a floating-point number holds.
        Signal(9007199254740993, SignalKind.UDP, VruClass.CHILD),
    ]


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"time_ns": 5, "kind": "voltage", "value": 3.3}, {"time_ns": 6, "kind": "serial", "class": None}]
    path = write(tmp_path, "\n".join(json.dumps(row) for row in rows), "signals.jsonl")
    assert list(read_signals(path).signals()) == [
        Signal(5, SignalKind.VOLTAGE, value="3.3"),
        Signal(6, SignalKind.SERIAL),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds nothing"),
        ("time_ns,value\n1,2\n", "line 1 has no kind"),
        ("time_ns,kind,colour\n1,udp,red\n", "line 1: there is no 'colour'"),
        ("time_ns,kind,kind\n1,udp,udp\n", "it is there twice"),
        ("time_ns,kind\nnan,udp\n", "line 2: time_ns is 'nan'"),
        ("time_ns,kind\n1.5,udp\n", "line 2: time_ns is '1.5'"),
        ("time_ns,kind\n-1,udp\n", "line 2: time_ns is '-1'"),
        (f"time_ns,kind\n{2**63},udp\n", "line 2: time_ns is"),
        ("time_ns,kind\n1790000000000000000,udp\n", "line 2: time_ns is 1790000000000000000, the time of day"),
        ("time_ns,kind\n5,udp\n4,udp\n", "line 3: 4 ns is earlier than the 5 ns"),
        ("time_ns,kind\n5,smoke\n", "line 2: there is no kind 'smoke'"),
        ("time_ns,kind,class\n5,udp,tree\n", "line 2: Unknown class 'tree'"),
        ("time_ns,kind,id\n5,udp,a\n6,udp,a\n", "line 3: the id a occurs a second time"),
        ("time_ns,kind,video\n5,udp,other\n", "line 2 is of video 'other', but the truth is of here"),
        ("time_ns,kind\n5\n", "line 2 has 1 columns"),
        ('{"time_ns": 1, "kind": "udp"}\n{"time_ns": 2.0, "kind": "udp"}', "line 2: time_ns is 2.0"),
        ('{"time_ns": true, "kind": "udp"}', "line 1: time_ns is True"),
        ('{"time_ns": 1, "kind": "udp"', "line 1 is no JSON"),
        ('{"time_ns": 1, "kind": "udp"}\n[1]', "line 2 is no object"),
        ('{"time_ns": 1}', "line 1 has no kind"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_signals(write(tmp_path, text), videos=["here"])
    assert "signals.csv" in caught.value.message


def test_files_that_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        read_signals(tmp_path / "none.csv")
    with pytest.raises(FormatError, match="more than the 0 MB"):
        read_signals(write(tmp_path, HEADER + "1,udp,,,,,\n"), limit_bytes=10)


def test_markers(tmp_path: Path) -> None:
    rows = "".join(f"{n}.5,{n}00\n" for n in range(1, 6))
    found = read_markers(write(tmp_path, f"media_s,time_ns\n{rows}"))
    assert (found.media_s.tolist(), found.time_ns.tolist()) == ([1.5, 2.5, 3.5, 4.5, 5.5], [100, 200, 300, 400, 500])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("media_s,time_ns\n0,1\n0,2\n", "line 3: the marker is not later"),
        ("media_s,time_ns\n0,1\n1,1\n", "line 3: the marker is not later"),
        ("media_s,time_ns\nnan,1\n", "line 2: media_s is nan"),
        ("media_s\n1\n", "line 1 has no time_ns"),
        ("media_s,time_ns\n0,1\n1,2\n2,3\n3,4\n", "at least 5 markers; it has 4"),
        ("", "holds nothing"),
    ],
)
def test_wrong_markers(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_markers(write(tmp_path, text))


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "signals.csv"
    for start in ("", HEADER, '{"time_ns": 1, "kind": "udp"}\n'):
        path.write_bytes((start + text).encode("utf-8", "surrogatepass"))
        try:
            recording = read_signals(path)
        except FormatError as error:
            assert str(path) in error.message
        else:
            assert len(recording) == len(list(recording.signals()))
