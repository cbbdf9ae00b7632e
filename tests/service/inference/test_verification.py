import dataclasses
from pathlib import Path

import numpy as np
import pytest

from model.contract.artifact.manifest import GOLDEN_BATCH_FILE, GoldenTolerance
from model.contract.errors import ManifestError
from service.inference.artifact_reader import Artifact
from service.inference.verification import verify_artifact


@pytest.fixture
def golden(artifact, tmp_path):
    """The golden arrays, and a function that returns the artifact with changed ones."""
    with np.load(artifact.folder / GOLDEN_BATCH_FILE) as file:
        golden_arrays = {name: file[name] for name in file.files}

    def changed(**arrays) -> Artifact:
        np.savez(tmp_path / GOLDEN_BATCH_FILE, **(golden_arrays | arrays))
        return dataclasses.replace(artifact, folder=Path(tmp_path))

    return golden_arrays, changed


def test_valid_artifact_passes_on_every_golden_row(artifact, golden):
    golden_arrays, _ = golden

    assert verify_artifact(artifact) == len(golden_arrays["chosen"])


def test_probability_beyond_the_tolerance_is_rejected(artifact, golden):
    golden_arrays, changed = golden
    off = golden_arrays["p_click"].copy()
    off[0, 1, 0, 0] += 10 * GoldenTolerance().probability

    with pytest.raises(ManifestError, match=r"p_click is 0\.001 from the golden answer"):
        verify_artifact(changed(p_click=off))


def test_other_generated_lists_are_rejected(golden):
    golden_arrays, changed = golden
    noise = golden_arrays["in_noise_item"]

    with pytest.raises(ManifestError, match="lists differ in"):
        verify_artifact(changed(in_noise_item=np.ascontiguousarray(noise[:, ::-1])))


def test_other_choice_among_equal_lists_is_rejected(golden):
    golden_arrays, changed = golden
    other = golden_arrays["chosen"].copy()
    other[:2] = (other[:2] + 1) % golden_arrays["lists"].shape[1]

    with pytest.raises(ManifestError, match="choice differ in 2 of"):
        verify_artifact(changed(chosen=other))


def test_nan_probability_is_rejected(golden):
    golden_arrays, changed = golden

    with pytest.raises(ManifestError, match="p_click is nan"):
        verify_artifact(changed(p_click=np.full_like(golden_arrays["p_click"], np.nan)))


def test_empty_golden_batch_is_rejected(golden):
    golden_arrays, changed = golden
    none = {k: v[:, :0] if k.startswith("p_") else v[:0] for k, v in golden_arrays.items()}

    with pytest.raises(ManifestError, match="is empty"):
        verify_artifact(changed(**none))
