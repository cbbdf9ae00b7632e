"""Renders the benchmark's numbers as a section of docs/benchmarks/serving.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from loadtest.bench.bench_results import BenchResults
from loadtest.bench.bench_settings import DEFAULT_CANDIDATES, DEFAULT_LISTS
from loadtest.bench.comparison import Comparison, other_names, ratios
from loadtest.bench.measured_services import REFERENCE, REFERENCE_ONE_THREAD, RELIST
from loadtest.bench.measurements import ClosedLoopResult, OpenLoopResult
from loadtest.bench.request_bodies import WIRE_FORMS

SECTION_BEGIN, SECTION_END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
_STAGES = ("parse", "features", "encode", "generate", "evaluate", "total", "seen")


def render_bench_report(results: BenchResults) -> str:
    """The section between the marks."""
    facts = results.run_info
    lines = [
        f"## {facts['date'].split()[0]}: `make bench`",
        f"Machine: {facts['machine']}; load average {facts['load']} before, {facts['load after']} "
        f"after. Commit `{facts['commit']}`. Command: `{facts['command']}`, {facts['date']}.",
        f"N = {DEFAULT_CANDIDATES}, K = {DEFAULT_LISTS} unless stated otherwise. The measured "
        "process runs on one core, the load and Redis on another. Medians; in brackets the lowest "
        "and the highest round or window.",
        "",
    ]
    if results.rounds:
        lines += [*_rounds(results.rounds), ""]
    if results.comparison.rounds:
        lines += [*_compared_throughput(results.comparison), ""]
    if results.comparison.latencies:
        lines += [*_compared_latency(results.comparison), ""]
    if results.half_load:
        lines += [*_latency(results.half_load, results.high_load), "", *_stages(results.stages), ""]
    if results.sizes:
        lines += [*_cells(results), ""]
    if results.scaling:
        lines += [*_scaling(results), ""]
    if results.memory:
        lines += [*_memory(results), ""]
    return "\n".join(lines).rstrip() + "\n"


def replace_marked_section(path: Path, text: str) -> None:
    """Replace the text between the marks; the rest of the page is unchanged."""
    page = path.read_text(encoding="utf-8")
    if (
        page.count(SECTION_BEGIN) != 1
        or page.count(SECTION_END) != 1
        or page.index(SECTION_BEGIN) > page.index(SECTION_END)
    ):
        raise ValueError(f"{path} has not one {SECTION_BEGIN} before one {SECTION_END}")
    head, _, rest = page.partition(SECTION_BEGIN)
    _, _, tail = rest.partition(SECTION_END)
    path.write_text(f"{head}{SECTION_BEGIN}\n{text}{SECTION_END}{tail}", encoding="utf-8")


def _rounds(rounds: Sequence[Sequence[ClosedLoopResult]]) -> list[str]:
    """Each service relative to the references of the same round and form."""
    lines = [
        f"**Closed loop, {len(rounds)} rounds**; ratios inside a round; CPU in us a request, "
        "*outside the graphs* is the process's less ONNX Runtime's; *by CPU*: ratio of CPU time "
        "a request, which others on the machine disturb less.",
        "",
        "| | form | requests/s | to the reference | to it on one ORT thread | that by CPU | CPU "
        "| graphs | outside the graphs | failed, degraded |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted({run.name for run in rounds[0]}):
        lines += [_row(_round_cells(rounds, name, form)) for form in WIRE_FORMS]
    client_cpu = max(run.client_cpu_us for runs in rounds for run in runs)
    return [*lines, "", f"The load took at most {client_cpu:.0f} us of its own core a request."]


def _round_cells(rounds: Sequence[Sequence[ClosedLoopResult]], name: str, form: str) -> list[str]:
    runs = [_find_run(found, name, form) for found in rounds]
    plain = [_find_run(found, REFERENCE, form) for found in rounds]
    one_thread = [_find_run(found, REFERENCE_ONE_THREAD, form) for found in rounds]
    graph = [run.graph_us for run in runs if run.graph_us is not None]
    return [
        name,
        form,
        _spread([run.throughput for run in runs], 0),
        _spread([a.throughput / b.throughput for a, b in zip(runs, plain, strict=True)], 2),
        _spread([a.throughput / b.throughput for a, b in zip(runs, one_thread, strict=True)], 2),
        _spread([b.cpu_us / a.cpu_us for a, b in zip(runs, one_thread, strict=True)], 2),
        f"{statistics.median(run.cpu_us for run in runs):.0f}",
        f"{statistics.median(graph):.0f}" if graph else "",
        _spread([run.service_us for run in runs], 0) if graph else "",
        f"{sum(run.failed for run in runs)}, {sum(run.degraded for run in runs)}",
    ]


def _compared_throughput(comparison: Comparison) -> list[str]:
    """Requests/s of the service beside each other service."""
    runs = [run for found in comparison.rounds for run in found]
    lines = [
        f"**Requests/s beside others, {len(comparison.rounds)} interleaved rounds**; a ratio above "
        f"1 is faster. {_count_failures(runs)}",
        "",
        "| over | form | connections | requests/s | theirs | ratio |",
        "|---|---|---|---|---|---|",
    ]
    cells = sorted({(run.form, run.connections) for run in runs})
    for name in other_names(runs):
        for form, count in cells:
            ours = comparison.throughputs(RELIST, form, count)
            theirs = comparison.throughputs(name, form, count)
            numbers = _spread(ours, 0), _spread(theirs, 0), _spread(ratios(ours, theirs), 2)
            lines.append(_row([name, form, str(count), *numbers]))
    return lines


def _compared_latency(comparison: Comparison) -> list[str]:
    """99th percentiles of the service beside each other service."""
    windows = [window for found in comparison.latencies for window in found]
    lines = [
        f"**p99 beside others, {len(comparison.latencies)} interleaved rounds** of Poisson "
        "arrivals at a share of each one's own maximum; milliseconds, a ratio below 1 is faster. "
        + _count_failures([window.result for window in windows]),
        "",
        "| over | form | load | p99 | theirs | ratio |",
        "|---|---|---|---|---|---|",
    ]
    cells = sorted({(window.form, window.load_share) for window in windows})
    for name in other_names(windows):
        for form, share in cells:
            ours = comparison.p99s_ms(RELIST, form, share)
            theirs = comparison.p99s_ms(name, form, share)
            numbers = _spread(ours, 1), _spread(theirs, 1), _spread(ratios(ours, theirs), 2)
            lines.append(_row([name, form, f"{share:.0%}", *numbers]))
    return lines


def _count_failures(runs: Sequence[ClosedLoopResult | OpenLoopResult]) -> str:
    return f"Failed: {sum(r.failed for r in runs)}, degraded: {sum(r.degraded for r in runs)}."


def _find_run(found: Sequence[ClosedLoopResult], name: str, form: str) -> ClosedLoopResult:
    return next(c for c in found if c.name == name and c.form == form)


def _latency(half: dict[str, OpenLoopResult], tail: dict[str, OpenLoopResult]) -> list[str]:
    lines = [
        "**Open Poisson arrivals** at shares of its own maximum; milliseconds from the moment a "
        "request was due. *Run-queue wait*: percent of the time in which the process was ready and "
        "something else on this machine ran; *steal*: or another machine on the same host; "
        "*client stall*: the longest that the load, on the other core, was due to send and did not "
        "run: where it is long, the whole machine was stopped, which is not counted as steal.",
        "",
        "| form | load | requests/s | p50 | p99 | p99.9 | p99.9, best window | send lag p99 "
        "| run-queue wait | steal | client stall | failed, degraded of |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for load, found in (("50 %", half), ("70 %", tail)):
        for form, one in found.items():
            cells = [
                form,
                load,
                f"{one.rate:.0f}",
                *(_spread(values, 2) for values in (one.p50, one.p99, one.p999)),
                f"{min(one.p999):.2f}",
                f"{statistics.median(one.send_lag_p99):.2f}",
                *(
                    _spread(values, 1)
                    for values in (one.run_queue_wait, one.steal, one.longest_stall_ms)
                ),
                f"{one.failed}, {one.degraded} of {one.answers}",
            ]
            lines.append(_row(cells))
    return lines


def _stages(stages: dict[str, dict[str, float]]) -> list[str]:
    lines = [
        "**One request at a time**, median milliseconds; *rest* is the total less the stages, "
        "*seen* by the caller (Python's http.client).",
        "",
        f"| form | {' | '.join(_STAGES[:-2])} | rest | total | seen |",
        "|---|" + "---|" * (len(_STAGES) + 1),
    ]
    for form, found in stages.items():
        rest = found["total"] - sum(found[s] for s in _STAGES[:-2])
        values = [*(found[s] for s in _STAGES[:-2]), rest, found["total"], found["seen"]]
        lines.append(_row([form, *(f"{v:.2f}" for v in values)]))
    return lines


def _cells(results: BenchResults) -> list[str]:
    lines = [
        "**N and K**, columns: throughput of the closed loop, latency at half of it, stages alone "
        "(milliseconds).",
        "",
        f"| N | K | requests/s | p50 | p99 | {' | '.join(_STAGES[:-1])} | failed, degraded |",
        "|---|---|---|---|---|" + "---|" * len(_STAGES),
    ]
    for cell in results.sizes:
        half = cell.half_load
        lines.append(
            _row(
                [
                    str(cell.candidates),
                    str(cell.lists),
                    f"{cell.throughput:.0f}",
                    f"{half.p50[0]:.2f}",
                    f"{half.p99[0]:.2f}",
                    *(f"{cell.stages[s]:.2f}" for s in _STAGES[:-1]),
                    f"{half.failed}, {half.degraded} of {half.answers}",
                ]
            )
        )
    return lines


def _scaling(results: BenchResults) -> list[str]:
    found = results.scaling
    assert found is not None
    ratios = [b / a for a, b in zip(found.one_process, found.two_workers, strict=True)]
    return [
        f"**Two workers on two cores**: {_spread(found.two_workers, 0)} requests/s, one process "
        f"{_spread(found.one_process, 0)}: {_spread(ratios, 2)} times. The load and Redis take "
        "part of the second core; by the workers' CPU time a request it would be "
        f"{_spread(found.cpu_ratios, 2)}. "
        f"The busier worker had {_spread(found.busier_worker_shares, 2)} of their CPU time.",
    ]


def _memory(results: BenchResults) -> list[str]:
    lines = [
        f"**Memory** with the item table of {results.run_info['items']}, after traffic, MB:",
        "",
        "| | resident | with shared pages divided |",
        "|---|---|---|",
    ]
    for name, processes in results.memory.items():
        for at, one in enumerate(processes):
            lines.append(_row([f"{name}, process {at}", f"{one['rss']:.0f}", f"{one['pss']:.0f}"]))
    return lines


def _spread(values: Iterable[float], digits: int) -> str:
    held = list(values)
    middle = f"{statistics.median(held):.{digits}f}"
    return f"{middle} ({min(held):.{digits}f}-{max(held):.{digits}f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
