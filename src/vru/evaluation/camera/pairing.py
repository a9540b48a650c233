"""Which signal detected which road user. Signals have no place in the picture: only time and class tell."""

import heapq
from collections import deque
from collections.abc import Mapping

import numpy as np

from vru.evaluation.camera.clocks import Floats, Ints

ANY = -1


def pair(signal_s: Floats, signal_class: Ints, start_s: Floats, end_s: Floats, track_class: Ints) -> Ints:
    """Pair signals with the windows of tracks, one to one: the signal of each track, -1 for none.

    ``signal_s`` rises. A signal fits a track if it lies in the window, both ends included, and its class is the track's
    or ``ANY``. In order of time each signal goes to the road user whom it fits, who has no signal yet and whose window
    ends first; so a road user alone is detected by the first signal that fits. For windows on a line this pairs as many
    as can be (Glover 1967). Where some signals name a class and others do not, a road user left over may still get one
    by exchanges (an augmenting path, Berge 1957); so the pairing is a maximum in every case. Ties go by start, class
    and the order of the tracks. Time n log n.
    """
    order = np.lexsort((np.arange(len(start_s)), track_class, start_s, end_s))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    count = len(signal_s)
    arrival = np.full(len(start_s), count, dtype=np.int64)
    following: dict[int, Ints] = {}
    usable: dict[int, Ints] = {}
    for road_user in np.unique(track_class).tolist():
        fitting = (signal_class == road_user) | (signal_class == ANY)
        positions = usable[road_user] = np.flatnonzero(fitting)
        mine = np.flatnonzero(track_class == road_user)
        padded = np.append(positions, count)
        arrival[mine] = padded[np.searchsorted(signal_s[positions], start_s[mine], side="left")]
        following[road_user] = padded[np.cumsum(fitting)]
    # A window that no signal of its class lies in is out of the question at once.
    times = np.append(signal_s, np.inf)
    arrival[times[arrival] > end_s] = count
    signal_of = _sweep(signal_s, signal_class, end_s[order], track_class[order], arrival[order], following)
    result = np.full(len(start_s), -1, dtype=np.int64)
    result[order] = signal_of
    if (signal_class == ANY).any() and (signal_class != ANY).any():
        _exchange(result, order, signal_s, start_s, end_s, track_class, usable)
    return result


def _sweep(
    signal_s: Floats, signal_class: Ints, end_s: Floats, track_class: Ints, arrival: Ints, following: Mapping[int, Ints]
) -> Ints:
    """Earliest deadline first; the tracks come in order of their deadlines. Steps from signal to signal that someone
    waits for, so that its time goes by the tracks and not by the signals.
    """
    count = len(signal_s)
    signal_of = np.full(len(arrival), -1, dtype=np.int64)
    arriving = np.argsort(arrival, kind="stable")
    arriving = arriving[arrival[arriving] < count]
    at, queue = arrival[arriving].tolist(), arriving.tolist()
    classes, ends = track_class.tolist(), end_s.tolist()
    waiting: dict[int, list[int]] = {road_user: [] for road_user in following}
    wanted = dict.fromkeys(following, count)
    everyone, coming = tuple(following), 0
    # Single elements of a memoryview come as Python's numbers, at half the price of an array's.
    times, says = signal_s.data, signal_class.data
    after = {road_user: positions.data for road_user, positions in following.items()}
    while True:
        now = min(wanted.values(), default=count)
        if coming < len(at):
            now = min(now, at[coming])
        if now >= count:
            return signal_of
        while coming < len(at) and at[coming] == now:
            heapq.heappush(waiting[classes[queue[coming]]], queue[coming])
            coming += 1
        time, said = times[now], says[now]
        best, owner = -1, ANY
        fitting = everyone if said == ANY else (said,)
        for road_user in fitting:
            heap = waiting[road_user]
            while heap and ends[heap[0]] < time:
                heapq.heappop(heap)
            if heap and (best < 0 or heap[0] < best):
                best, owner = heap[0], road_user
        if best >= 0:
            heapq.heappop(waiting[owner])
            signal_of[best] = now
        # Those whom this signal does not fit go on waiting for theirs.
        for road_user in fitting:
            wanted[road_user] = after[road_user][now] if waiting[road_user] else count


def _exchange(
    signal_of: Ints,
    order: Ints,
    signal_s: Floats,
    start_s: Floats,
    end_s: Floats,
    track_class: Ints,
    usable: Mapping[int, Ints],
) -> None:
    """Give road users without a signal one that others can spare, by augmenting paths, earliest deadline first.

    What one fruitless search has seen cannot lead anywhere later, so it is not searched again.
    """
    owner = {int(signal): track for track, signal in enumerate(signal_of.tolist()) if signal >= 0}
    closed: set[int] = set()
    times = {road_user: signal_s[positions] for road_user, positions in usable.items()}
    for lost in order[signal_of[order] < 0].tolist():
        came_from: dict[int, int] = {}
        seen: list[int] = []
        open_tracks = deque([lost])
        free = -1
        while open_tracks and free < 0:
            track = open_tracks.popleft()
            road_user = int(track_class[track])
            positions = usable[road_user]
            low, high = np.searchsorted(times[road_user], [start_s[track], np.nextafter(end_s[track], np.inf)])
            for signal in positions[low:high].tolist():
                if signal in came_from or signal in closed:
                    continue
                came_from[signal] = track
                seen.append(signal)
                if signal not in owner:
                    free = signal
                    break
                open_tracks.append(owner[signal])
        if free < 0:
            closed.update(seen)
            continue
        signal = free
        while signal >= 0:
            track = came_from[signal]
            before = int(signal_of[track])
            signal_of[track], owner[signal] = signal, track
            signal = before
