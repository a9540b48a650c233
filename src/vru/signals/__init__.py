"""Signals of devices as they come in: drivers, what a payload says, and the state of each source.

A source is one device on one driver. ``Receiver`` runs it in a thread of its own and hands on what is received:

    receiver = Receiver(SourceSettings(name="front", driver="udp", settings={"port": 5005}), sink)
    receiver.start()
"""

from vru.signals.driver import Driver, Fault, Reading, driver_names, make_driver
from vru.signals.receiver import Receiver, SourceState, State
from vru.signals.records import Event, Record, StateChange
from vru.signals.source import Payload, SourceSettings

__all__ = [
    "Driver",
    "Event",
    "Fault",
    "Payload",
    "Reading",
    "Receiver",
    "Record",
    "SourceSettings",
    "SourceState",
    "State",
    "StateChange",
    "driver_names",
    "make_driver",
]
