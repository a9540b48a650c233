"""What systemd says, and the units of a release -> changes."""

from tests.host.resources.common import HOST, names

from vru.host.resources import units
from vru.host.wire import UnitEntry

# As `systemctl show` of systemd 257 printed it.
SHOWN = """Id=vru-platform.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=vru-backup.timer
LoadState=loaded
ActiveState=inactive
UnitFileState=disabled
NeedDaemonReload=yes

Id=gone.timer
LoadState=not-found
ActiveState=inactive
UnitFileState=
NeedDaemonReload=no
"""


def test_units_are_reloaded_enabled_and_started_where_they_differ():
    wanted = [UnitEntry(name, True, True) for name in ("vru-platform.service", "vru-backup.timer", "gone.timer")]
    assert names(units.changes(HOST, wanted, units.parse(SHOWN))) == [
        ("systemd", "unit files", "update"),
        ("unit", "vru-backup.timer", "enable"),
        ("unit", "vru-backup.timer", "start"),
        ("unit", "gone.timer", "enable"),
        ("unit", "gone.timer", "start"),
    ]
    assert names(units.changes(HOST, wanted[:1], {"vru-platform.service": units.parse(SHOWN)[wanted[0].name]})) == []


def test_a_unit_may_be_wanted_stopped():
    off = [UnitEntry("vru-platform.service", False, False)]
    found = {"vru-platform.service": units.parse(SHOWN)["vru-platform.service"]}
    assert [change.action for change in units.changes(HOST, off, found)] == ["disable", "stop"]


def test_overrides_made_by_hand_are_taken_away_and_a_vendors_are_not():
    by_hand = "/etc/systemd/system/vru-backup.service.d/override.conf"
    paths = f"{by_hand} /usr/lib/systemd/system/service.d/10.conf"
    shown = f"Id=vru-backup.service\nUnitFileState=static\nDropInPaths={paths}\n"
    found = units.parse(shown)
    changed = list(units.changes(HOST, [], found))
    assert names(changed) == [("unit", "vru-backup.service", "update")]
    assert changed[0].detail == f"is overridden by {by_hand}"
