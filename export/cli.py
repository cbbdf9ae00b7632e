"""`relist export`. Imports what needs torch only when it runs, so that `relist --help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Exit, Option, echo


def export(
    evaluator: Annotated[Path, Option(help="Folder of the evaluator's checkpoint.")],
    generator: Annotated[Path, Option(help="Folder of the generator's checkpoint.")],
    out: Annotated[Path, Option(help="Folder of all artifacts; `current` will point at this one.")],
) -> None:
    """Export both nets to ONNX, verify them against PyTorch and publish the artifact.

    Exit status: 0 when published, 2 for an unusable checkpoint or different outputs of ONNX.
    """
    from export.artifact_export import export_artifact, read_trained_models
    from export.parity import ParityError
    from model.checkpoint import CheckpointError
    from model.contract.errors import ManifestError

    try:
        trained = read_trained_models(evaluator, generator)
        folder = export_artifact(trained, out, lambda text: echo(text, err=True))
    except (CheckpointError, ParityError, ManifestError, OSError) as error:
        echo(f"relist export: {error}", err=True)
        raise Exit(2) from error
    echo(f"artifact: {folder} ({out / 'current'} points at it)", err=True)
