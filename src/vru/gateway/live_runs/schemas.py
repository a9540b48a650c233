"""Bodies of live runs."""

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field

from vru.domain import RunState, Verdict
from vru.service.schemas import CameraRunSettings, NewCriterion, Priority, Schema
from vru.service.schemas.captures import PlayTable, RigBody


class LiveRunCreate(Schema):
    """A request for a live run of a camera: what ``source_id`` says now, against the ground truth of a video.

    With ``rig`` the virtual device plays the video's ground truth in real time. Without it the video is shown to a
    real device, and the run is finished by ``/finish``.
    """

    project_id: uuid.UUID
    video_id: uuid.UUID
    ground_truth_id: uuid.UUID
    source_id: uuid.UUID = Field(description="a signal source that runs")
    rig: RigBody | None = None
    settings: CameraRunSettings = Field(default_factory=CameraRunSettings)
    criteria: list[NewCriterion] | None = Field(None, max_length=200, description="the project's, if there are none")
    priority: Priority = 0


class LiveRunBody(Schema):
    """A live run. ``recording`` -> ``recorded`` -> ``started`` (its run is ``run_id``), or ``failed``, ``cancelled``.

    One without a rig stays ``recorded``: join the clock of ``signals_id`` with the video's, then start a camera run.
    """

    id: uuid.UUID
    project_id: uuid.UUID
    video_id: uuid.UUID
    ground_truth_id: uuid.UUID
    source_id: uuid.UUID
    state: Literal["recording", "recorded", "started", "failed", "cancelled"]
    error: str | None
    media_s: float | None = Field(None, description="how far the play is, while it is recording")
    end_s: float | None = Field(None, description="where the play ends")
    signals: int | None = Field(None, description="events so far")
    played: PlayTable | None = Field(None, description="what the rig has sent")
    signals_id: uuid.UUID | None = Field(description="the recording")
    run_id: uuid.UUID | None
    run_state: RunState | None = None
    verdict: Verdict | None = None
    created_by: str
    created_at: datetime


class LiveRunList(Schema):
    """One page of live runs, newest first, and how many there are in all."""

    items: list[LiveRunBody]
    total: int
