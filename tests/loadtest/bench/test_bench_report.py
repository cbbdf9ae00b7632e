"""The page that the benchmark writes, and the whole of it in its quick form."""

import json

import pytest

from loadtest.bench.__main__ import main
from loadtest.bench.bench_report import SECTION_BEGIN, SECTION_END, replace_marked_section
from loadtest.bench.machine import ROOT
from tests.tiny_artifact import tiny_artifact

MARKED_PAGE = f"# Results\n\nby hand\n\n{SECTION_BEGIN}\nold\n{SECTION_END}\n\n## before\n"


def test_replace_marked_section_keeps_the_rest(tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text(MARKED_PAGE)

    replace_marked_section(page, "new\n")
    replace_marked_section(page, "newer\n")

    assert page.read_text() == MARKED_PAGE.replace("old\n", "newer\n", 1)


@pytest.mark.parametrize(
    "page", ["no marks", f"{SECTION_END} {SECTION_BEGIN}", MARKED_PAGE + MARKED_PAGE]
)
def test_replace_marked_section_without_marks_raises(tmp_path, page):
    path = tmp_path / "RESULTS.md"
    path.write_text(page)

    with pytest.raises(ValueError, match="has not one"):
        replace_marked_section(path, "new\n")

    assert path.read_text() == page


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.soak  # seven parts and three services: minutes
def test_bench_quick_runs_every_part(tmp_path):
    artifact = tiny_artifact(tmp_path / "run")
    page, numbers = tmp_path / "RESULTS.md", tmp_path / "bench.json"
    page.write_text(MARKED_PAGE)
    options = ["--artifact", artifact, "--serving-bundle", tmp_path / "run" / "handover"]

    options += [
        "--before",
        ROOT,
        "--before-command",
        "-m service.cli.main serve",
    ]  # the tree itself: the ratios say nothing
    status = main([*map(str, options), "--quick", "--json", str(numbers), "--write", str(page)])

    assert status == 0
    text = page.read_text()
    assert text.startswith("# Results\n\nby hand\n")
    assert text.endswith("## before\n")
    for table in (
        "Closed loop",
        "Requests/s beside others",
        "p99 beside others",
        "Open Poisson",
        "One request",
        "N and K",
        "Two workers",
        "Memory",
    ):
        assert f"**{table}" in text
    found = json.loads(numbers.read_text())
    closed = [one for part in found["rounds"] for one in part]
    assert len(closed) == 2 * 4 * 2  # rounds, contenders, forms
    compared = [one for runs in found["comparison"]["rounds"] for one in runs]
    assert len(compared) == 2 * 3 * 2 * 3  # rounds, services, forms, numbers of connections
    closed += compared
    assert {one["name"] for one in closed if one["failed"]} == set()
    assert {one["name"] for one in compared} == {"relist", "mosec", "before"}
    windows = [one for part in found["comparison"]["latencies"] for one in part]
    assert len(windows) == 2 * 3 * 2 * 2  # rounds, services, forms, shares of the maximum
    ours = [one for part in found["rounds"] for one in part if one["name"] == "relist"]
    assert all(0 < one["graph_us"] < one["cpu_us"] for one in ours)
    assert [(c["candidates"], c["lists"]) for c in found["sizes"]] == [
        (10, 1), (10, 8), (30, 1), (30, 8),
    ]  # fmt: skip
    for one in (*found["half_load"].values(), *found["high_load"].values()):
        assert len(one["run_queue_wait"]) == len(one["steal"]) == 2  # windows
        assert all(share > 0 for share in one["run_queue_wait"])  # no process is alone for so long
    assert set(found["memory"]) == {"one process", "relist, 2 workers"}
    assert all(one["rss"] > 50 for many in found["memory"].values() for one in many)
