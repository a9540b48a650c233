"""Who made the ground truth of files, who vouches for it, and whether it may judge a model."""

from dataclasses import dataclass

from vru.evaluation.video.evaluate import check_independent
from vru.formats.annotations import Annotations


@dataclass(frozen=True, slots=True)
class Provenance:
    """``source`` is "" where nobody says it; ``approved`` is None where nobody says it. ``notes`` are its limits."""

    source: str
    approved: bool | None
    notes: tuple[str, ...]


def provenance_of(annotations: Annotations, model: str | None, source: str | None = None) -> Provenance:
    """What is known about the truth, if it may judge ``model`` (None: nobody says which is under test).

    ``source`` is what the user says about it. It does not take the place of what the file says: both are checked. What
    a model or a program made is not approved unless the file names somebody who vouches for it.

    Raises:
        VruError: the model under test made the truth.
    """
    makers = []
    for said in (annotations.source, source or ""):
        check_independent(said, model)
        kind, _, maker = said.partition(":")
        if kind.strip().lower() == "model":
            makers.append(maker.strip())
    unchecked = dict.fromkeys(makers) if model is None else ()
    notes = [f"{maker} made the truth, so it can be no judge of {maker}: --model checks that." for maker in unchecked]
    if annotations.automatic and not makers:
        notes.append(
            f"A program made {annotations.automatic} tracks of the ground truth: --truth-source model:NAME says which, "
            "--model what is under test."
        )
    approved = None if annotations.approved_by is None else annotations.approved_by != ""
    if approved is None and (makers or annotations.automatic):
        approved = False
    if approved is False:
        notes.append("The ground truth is not approved: no person has vouched for it.")
    return Provenance(source or annotations.source, approved, tuple(notes))
