"""The capacity page: its tables follow from its formulas, and the formulas are right."""

import math
from dataclasses import replace

import pytest

from docker.capacity import (
    CAPACITY_PAGE,
    CAPACITY_TOML,
    TABLE_RATES,
    CapacityAssumptions,
    MeasuredCosts,
    estimate_capacity,
    main,
    read_capacity_inputs,
    replace_tables,
)

SAMPLE_COSTS = MeasuredCosts(
    service_cpu_ms=4.0,
    service_memory_mib=256.0,
    redis_cpu_us=20.0,
    redis_bytes_per_user=2**10,
    user_bytes=800.0,
    request_bytes=3_000.0,
    response_bytes=1_000.0,
)
SAMPLE_ASSUMPTIONS = CapacityAssumptions(
    users=float(2**24),
    core_utilization=0.5,
    redis_core_utilization=0.5,
    redis_memory_utilization=0.5,
    redis_shard_gib=8.0,
    redis_copies=2,
    zones=3,
    node_cores=32,
    node_cores_reserved=2,
    connections_per_pod_and_shard=2,
    core_hour_price=0.05,
    redis_gib_hour_price=0.01,
    cross_zone_gib_price=0.02,
    cross_zone_share=0.5,
)


def test_capacity_page_matches_inputs():
    page = CAPACITY_PAGE.read_text(encoding="utf-8")
    assert page == replace_tables(page, *read_capacity_inputs())
    assert f"| requests per second | {' | '.join(f'{rate:,}' for rate in TABLE_RATES)} |" in page


def test_replace_tables_changed_input_changes_page():
    measured, assumed = read_capacity_inputs()
    page = CAPACITY_PAGE.read_text(encoding="utf-8")
    dearer = replace(measured, service_cpu_ms=measured.service_cpu_ms * 1.1)
    assert replace_tables(page, dearer, assumed) != page


def test_capacity_inputs_are_positive():
    for numbers in read_capacity_inputs():
        for name in numbers.__slots__:
            assert getattr(numbers, name) > 0, name
    assert "2026" in CAPACITY_TOML.read_text()  # when and where it was measured


def test_estimate_capacity_pods_survive_one_zone_loss():
    found = estimate_capacity(10_000, SAMPLE_COSTS, SAMPLE_ASSUMPTIONS)
    busy = 10_000 * 4.0 / 1000  # 40 cores
    assert found.pods == math.ceil(busy / 0.5 * 3 / 2) == 120
    assert found.pods * 2 / 3 * 0.5 >= busy
    assert found.nodes == 4  # 120 pods of one core on nodes with 30 to spare
    assert found.memory_gib == 120 * 256 / 1024
    assert found.connections_per_shard == 240


def test_estimate_capacity_shards_cover_memory_and_rate():
    few = estimate_capacity(10_000, SAMPLE_COSTS, SAMPLE_ASSUMPTIONS)
    assert few.shards_by_memory == 4  # 16 GiB in halves of 8 GiB
    assert few.shards_by_rate == 1  # .2 s of CPU a second
    assert few.redis_servers == 4 * 2
    many = estimate_capacity(1_000_000, SAMPLE_COSTS, SAMPLE_ASSUMPTIONS)
    assert many.shards_by_rate == 40  # 20 s of CPU a second, half a core each
    assert many.redis_servers == 40 * 2


def test_estimate_capacity_sums_bandwidth_and_cost():
    found = estimate_capacity(10_000, SAMPLE_COSTS, SAMPLE_ASSUMPTIONS)
    assert found.gbit_in == pytest.approx(10_000 * 3_000 * 8 / 1e9)
    assert found.gbit_out == pytest.approx(10_000 * 1_000 * 8 / 1e9)
    assert found.gbit_redis == pytest.approx(10_000 * 800 * 8 / 1e9)
    crossing = 10_000 * 4_800 * 3600 / 2**30 * 0.5
    by_hand = 4 * 32 * 0.05 + 8 * 8.0 * 0.01 + crossing * 0.02
    assert found.cost_per_hour == pytest.approx(by_hand)
    assert found.cost_per_million_requests == pytest.approx(by_hand / 36.0)  # 36 million in an hour


def test_capacity_rate_option_prints_without_writing(capsys):
    page = CAPACITY_PAGE.read_text(encoding="utf-8")
    measured, assumed = read_capacity_inputs()
    assert main(["--rate", "5000", "--core-hour-price", "0.5", "--zones", "2"]) == 0
    expected = estimate_capacity(5000, measured, replace(assumed, core_hour_price=0.5, zones=2))
    assert f"| cost per hour | {expected.cost_per_hour:,.2f} |" in capsys.readouterr().out
    assert CAPACITY_PAGE.read_text(encoding="utf-8") == page
