"""The demo: a sample project, a validation of the built-in baseline on it, and its verdict."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from vru.domain import RunState, Verdict, VruError
from vru.local.client import Client, Json
from vru.local.output import Output
from vru.local.platform import ADMIN_EMAIL, Platform
from vru.scenes import ground_truth, scene, to_coco, write_video
from vru.service.schemas import MeasurementBody, RunBody, RunCreate, RunMetrics

MODEL = "opencv-hog"
_SCENE = "crossing"
_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


@dataclass(frozen=True, slots=True)
class Material:
    """What the demo validates on. ``source`` says who made the ground truth."""

    project: str
    description: str
    video: Path
    ground_truth: Path
    source: str
    approve: bool


def sample(folder: Path) -> Material:
    """A generated scene, drawn the first time and kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    video, truth = folder / f"{_SCENE}.mp4", folder / f"{_SCENE}.coco.json"
    if not (video.exists() and truth.exists()):
        drawn = scene(_SCENE)
        write_video(drawn, video)
        document = to_coco(ground_truth(drawn), video.name, drawn.times)
        unfinished = truth.with_suffix(".part")
        unfinished.write_text(json.dumps(document))
        unfinished.replace(truth)
    return Material(
        project="Sample: people crossing a street",
        description="A drawn street scene whose ground truth is exact, made by `vru local demo`.",
        video=video,
        ground_truth=truth,
        source="synthetic",
        approve=True,
    )


def own(video: Path, truth: Path, *, approve: bool) -> Material:
    """The user's own files. Only the user can approve the user's ground truth."""
    return Material(
        project=f"Demo: {video.stem}",
        description="Made by `vru local demo --video`.",
        video=video,
        ground_truth=truth,
        source="manual",
        approve=approve,
    )


def validate(platform: Platform, material: Material, output: Output, model: str = MODEL) -> RunBody:
    """Run the validation of ``NAME`` or ``NAME/VERSION`` through the public API and print its verdict.

    Raises:
        VruError: the platform refuses something, or the run does not reach a verdict.
    """
    with Client(platform.url("api_gateway")) as client:
        client.log_in(ADMIN_EMAIL, platform.secrets.admin_password)
        project = _find_or_create_project(client, material, output)
        video = _find_or_upload_video(client, project, material, output)
        truth = _find_or_upload_truth(client, video, material, output)
        name, _, version = model.partition("/")
        request = RunCreate(
            project_id=project["id"],
            video_id=video["id"],
            ground_truth_id=truth["id"],
            model=name,
            model_version=version or None,
        )
        run = client.start_run(request)
        output.item(f"validation run {run.id}: model {run.model} {run.model_version} on {video['name']}")
        with output.progress("validation") as progress:
            run = client.follow(
                str(run.id), lambda event: progress.show(event.state, event.frames_done, event.frames_total)
            )
    if run.state is not RunState.COMPLETED or run.verdict is None:
        raise VruError(
            f"The validation run {run.state} without a verdict: {(run.error or 'no reason was given').rstrip('.')}.",
            f"See {platform.layout.logs}/validation_worker.log.",
        )
    print_verdict(run, output)
    return run


def _find_or_create_project(client: Client, material: Material, output: Output) -> Json:
    for project in client.projects():
        if project["name"] == material.project:
            output.item(f"project {material.project!r} is there already")
            return project
    output.item(f"project {material.project!r} created")
    return client.create_project({"name": material.project, "description": material.description})


def _find_or_upload_video(client: Client, project: Json, material: Material, output: Output) -> Json:
    digest = _sha256(material.video)
    for video in client.videos(project["id"]):
        if video["sha256"] == digest:
            return video
    video = client.upload_video(project["id"], material.video)
    output.item(f"video {video['name']} uploaded: {video['frame_count']} frames, {video['duration_s']:.1f} s")
    return video


def _find_or_upload_truth(client: Client, video: Json, material: Material, output: Output) -> Json:
    digest = _sha256(material.ground_truth)
    found = [truth for truth in client.ground_truths(video["id"]) if truth["sha256"] == digest]
    if found:
        truth = found[0]
    else:
        truth = client.upload_ground_truth(video["id"], material.ground_truth, material.source)
        output.item(f"ground truth uploaded: {truth['track_count']} road users, {truth['box_count']} boxes")
    if truth["approved_by"] is None and material.approve:
        truth = client.approve_ground_truth(truth["id"])
        output.item(f"ground truth approved by {truth['approved_by']}")
    elif truth["approved_by"] is None:
        output.item("the ground truth is not approved: the figures are marked so (--approve, or on the page)")
    return truth


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def print_verdict(run: RunBody, output: Output) -> None:
    """The verdict with the reason for each criterion, and what was measured."""
    assert run.verdict is not None and run.metrics is not None  # noqa: S101 - a completed run has both
    output.line()
    output.emphasised(f"Verdict: {run.verdict}", _STYLES[run.verdict])
    for result in run.verdict_reasons or []:
        output.line(f"  {result.verdict:<13}{result.reason}")
    if not run.metrics.ground_truth_approved:
        output.line("  Measured against ground truth that nobody has approved.")
    output.line()
    output.heading("Measured")
    metrics = run.metrics
    rows = [(item.metric, _figure(item)) for item in metrics.measurements if item.slice == "all"]
    if isinstance(metrics, RunMetrics):
        counts = metrics.true_positives, metrics.false_negatives, metrics.false_positives
        rows.append(("boxes", "{} found, {} missed, {} false".format(*counts)))
    found = sum(track.first_detected_s is not None for track in metrics.tracks)
    rows.append(("road users", f"{found} of {len(metrics.tracks)} found at all"))
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        output.line(f"  {name:<{width}}  {words}")


def _figure(measurement: MeasurementBody) -> str:
    """``0.93 (95% interval 0.9 to 0.95, n = 12)``, and in words what the data leave open."""
    if measurement.value is None:
        return f"not determined by these data (n = {measurement.n})"
    value = f"{measurement.value:.4g} {measurement.unit}".rstrip()
    return f"{value}  ({measurement.confidence_level:.0%} interval: {_bounds(measurement)}, n = {measurement.n})"


def _bounds(measurement: MeasurementBody) -> str:
    low, high = measurement.low, measurement.high
    if low is None:
        return "without bounds" if high is None else f"up to {high:.4g}"
    return f"from {low:.4g}" if high is None else f"{low:.4g} to {high:.4g}"
