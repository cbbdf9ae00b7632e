"""`relist evaluate`. Imports what needs torch only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Exit, Option, echo


def evaluate(
    log: Annotated[Path, Option(help="Folder of the canonical log.")],
    evaluator: Annotated[Path, Option(help="Folder of the evaluator's checkpoint.")],
    generator: Annotated[Path, Option(help="Folder of the generator's checkpoint.")],
    out: Annotated[Path, Option(help="Folder for the page report.md and the numbers report.json.")],
    requests: Annotated[int, Option(min=1, help="Test requests.")] = 1000,
    restarts: Annotated[
        int,
        Option(
            min=0,
            help="Hill climbs that look for the best list where lists are too many to enumerate; "
            "slow. 0: no value ratio there.",
        ),
    ] = 0,
    *,
    json_output: Annotated[
        bool, Option("--json", help="Print the numbers as JSON instead of the page.")
    ] = False,
) -> None:
    """Measure a trained evaluator and generator on the later-in-time part of their log.

    Exit status: 0 when written, 2 for input that cannot be used.
    """
    from model.checkpoint import CheckpointError
    from model.data.errors import DataError
    from model.evaluation.single_run.evaluation_command import run_evaluation
    from model.evaluation.single_run.run_metrics import EvaluationOptions

    try:
        page = run_evaluation(
            log=log,
            evaluator_dir=evaluator,
            generator_dir=generator,
            out=out,
            options=EvaluationOptions(max_requests=requests, climb_restarts=restarts),
        )
    except (DataError, CheckpointError) as error:
        echo(f"relist evaluate: {error}", err=True)
        raise Exit(2) from error
    echo((page.with_suffix(".json") if json_output else page).read_text(encoding="utf-8"))
