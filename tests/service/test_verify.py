import dataclasses
from pathlib import Path

import numpy as np
import pytest

from model.contract.artifact.manifest import GOLDEN_BATCH_FILE, GoldenTolerance
from model.contract.errors import ManifestError
from service.inference.artifact import Artifact
from service.inference.verify import verify


@pytest.fixture
def golden(artifact, tmp_path):
    """The artifact with a golden file of its own, to be changed; graphs stay as they are."""
    with np.load(artifact.folder / GOLDEN_BATCH_FILE) as file:
        held = {name: file[name] for name in file.files}

    def changed(**arrays) -> Artifact:
        np.savez(tmp_path / GOLDEN_BATCH_FILE, **(held | arrays))
        return dataclasses.replace(artifact, folder=Path(tmp_path))

    return held, changed


def test_a_sound_artifact_gives_its_golden_answers_on_every_row(artifact, golden):
    held, _ = golden

    assert verify(artifact) == len(held["chosen"])


def test_a_probability_off_by_more_than_the_tolerance_is_refused(artifact, golden):
    held, changed = golden
    off = held["p_click"].copy()
    off[0, 1, 0, 0] += 10 * GoldenTolerance().probability

    with pytest.raises(ManifestError, match=r"p_click is 0\.001 from the golden answer"):
        verify(changed(p_click=off))


def test_other_lists_from_the_generator_are_refused(golden):
    held, changed = golden
    noise = held["in_noise_item"]

    with pytest.raises(ManifestError, match="lists differ in"):
        verify(changed(in_noise_item=np.ascontiguousarray(noise[:, ::-1])))


def test_another_choice_among_the_same_lists_is_refused(golden):
    held, changed = golden
    other = held["chosen"].copy()
    other[:2] = (other[:2] + 1) % held["lists"].shape[1]

    with pytest.raises(ManifestError, match="choice differ in 2 of"):
        verify(changed(chosen=other))


def test_not_a_number_is_worse_than_any_tolerance(golden):
    held, changed = golden

    with pytest.raises(ManifestError, match="p_click is nan"):
        verify(changed(p_click=np.full_like(held["p_click"], np.nan)))


def test_an_empty_golden_batch_proves_nothing(golden):
    held, changed = golden
    none = {k: v[:, :0] if k.startswith("p_") else v[:0] for k, v in held.items()}

    with pytest.raises(ManifestError, match="is empty"):
        verify(changed(**none))
