"""Images that the engine has, and those of a release -> changes."""

import json

from tests.host.resources.common import HOST, names
from tests.host.tiny import Tiny

from vru.host.release.manifest import parse
from vru.host.resources import images


def test_only_absent_images_are_pulled_and_built():
    manifest = parse(json.dumps(Tiny().manifest()))
    tag = manifest.images[0].image
    assert names(images.pull_changes(HOST, manifest, {"postgres:17-trixie"})) == [
        ("image", "nginxinc/nginx-unprivileged:1.28-trixie", "pull")
    ]
    assert names(images.build_changes(manifest, set())) == [("image", tag, "build")]
    assert names(images.build_changes(manifest, {tag})) == []


def test_a_tag_that_was_moved_goes_back_as_long_as_its_image_is_there():
    facts = images.ImageFacts({"api:1": "sha256:b", "web:1": "sha256:c"}, {"api:1": "sha256:a"}, frozenset({"api:1"}))
    changed = list(images.tag_changes(HOST, facts))
    assert names(changed) == [("image", "api:1", "update")]
    assert changed[0].detail == "the tag names b instead of a"
    assert facts.expected == {"api:1": "sha256:a", "web:1": "sha256:c"}
