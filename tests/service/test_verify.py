import dataclasses
from pathlib import Path

import numpy as np
import pytest

from model.contract.errors import ManifestError
from model.contract.manifest import GOLDEN, Tolerance
from service.inference.artifact import Artifact
from service.inference.verify import verify


@pytest.fixture
def golden(artifact, tmp_path):
    """The artifact with a golden file of its own, to be changed; graphs stay as they are."""
    with np.load(artifact.folder / GOLDEN) as file:
        held = {name: file[name] for name in file.files}

    def changed(**arrays) -> Artifact:
        np.savez(tmp_path / GOLDEN, **(held | arrays))
        return dataclasses.replace(artifact, folder=Path(tmp_path))

    return held, changed


def test_a_sound_artifact_gives_its_golden_answers_on_every_row(artifact, golden):
    held, _ = golden

    assert verify(artifact) == len(held["chosen"])


def test_a_probability_off_by_more_than_the_tolerance_is_refused(artifact, golden):
    held, changed = golden
    off = held["p_click"].copy()
    off[0, 1, 0, 0] += 10 * Tolerance().probability

    with pytest.raises(ManifestError, match=r"p_click is 0\.001 from the golden answer"):
        verify(changed(p_click=off))


@pytest.mark.parametrize("what", ["lists", "chosen"])
def test_other_lists_or_another_choice_are_refused(golden, what):
    held, changed = golden
    other = held[what].copy()
    if what == "chosen":
        other[:2] = (other[:2] + 1) % held["lists"].shape[1]
    else:
        other[:2, 0, [0, 1]] = other[:2, 0, [1, 0]]

    with pytest.raises(ManifestError, match="golden batch"):
        verify(changed(**{what: other}))


def test_not_a_number_is_worse_than_any_tolerance(golden):
    held, changed = golden

    with pytest.raises(ManifestError, match="p_click is nan"):
        verify(changed(p_click=np.full_like(held["p_click"], np.nan)))


def test_an_empty_golden_batch_proves_nothing(golden):
    held, changed = golden
    none = {k: v[:, :0] if k.startswith("p_") else v[:0] for k, v in held.items()}

    with pytest.raises(ManifestError, match="is empty"):
        verify(changed(**none))
