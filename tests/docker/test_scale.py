"""SCALE.md: its tables follow from its formulas, and the formulas are right."""

import math
from dataclasses import replace

import pytest

from docker.scale import (
    NUMBERS,
    PAGE,
    RATES,
    Assumed,
    Measured,
    main,
    need,
    read_numbers,
    with_tables,
)

MEASURED = Measured(
    service_cpu_ms=4.0,
    service_memory_mib=256.0,
    redis_cpu_us=20.0,
    redis_bytes_a_user=2**10,
    user_bytes=800.0,
    request_bytes=3_000.0,
    answer_bytes=1_000.0,
)
ASSUMED = Assumed(
    users=float(2**24),
    core_use=0.5,
    redis_core_use=0.5,
    redis_memory_use=0.5,
    redis_shard_gib=8.0,
    redis_copies=2,
    zones=3,
    node_cores=32,
    node_cores_kept=2,
    connections_a_pod_and_shard=2,
    core_hour=0.05,
    redis_gib_hour=0.01,
    gib_between_zones=0.02,
    share_between_zones=0.5,
)


def test_the_tables_of_the_page_are_those_of_the_numbers():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page, *read_numbers())
    assert f"| requests a second | {' | '.join(f'{rate:,}' for rate in RATES)} |" in page


def test_a_number_that_changes_changes_the_page():
    measured, assumed = read_numbers()
    page = PAGE.read_text(encoding="utf-8")
    dearer = replace(measured, service_cpu_ms=measured.service_cpu_ms * 1.1)
    assert with_tables(page, dearer, assumed) != page


def test_every_number_is_there_and_above_zero():
    for numbers in read_numbers():
        for name in numbers.__slots__:
            assert getattr(numbers, name) > 0, name
    assert "2026" in NUMBERS.read_text()  # when and where it was measured


def test_pods_carry_the_rate_with_one_zone_gone():
    found = need(10_000, MEASURED, ASSUMED)
    busy = 10_000 * 4.0 / 1000  # 40 cores
    assert found.pods == math.ceil(busy / 0.5 * 3 / 2) == 120
    assert found.pods * 2 / 3 * 0.5 >= busy
    assert found.nodes == 4  # 120 pods of one core on nodes with 30 to spare
    assert found.memory_gib == 120 * 256 / 1024
    assert found.connections_a_shard == 240


def test_shards_are_as_many_as_the_scarcer_of_memory_and_rate_asks_for():
    few = need(10_000, MEASURED, ASSUMED)
    assert few.shards_by_memory == 4  # 16 GiB in halves of 8 GiB
    assert few.shards_by_rate == 1  # .2 s of CPU a second
    assert few.redis_servers == 4 * 2
    many = need(1_000_000, MEASURED, ASSUMED)
    assert many.shards_by_rate == 40  # 20 s of CPU a second, half a core each
    assert many.redis_servers == 40 * 2


def test_bits_and_money_add_up():
    found = need(10_000, MEASURED, ASSUMED)
    assert found.gbit_in == pytest.approx(10_000 * 3_000 * 8 / 1e9)
    assert found.gbit_out == pytest.approx(10_000 * 1_000 * 8 / 1e9)
    assert found.gbit_redis == pytest.approx(10_000 * 800 * 8 / 1e9)
    crossing = 10_000 * 4_800 * 3600 / 2**30 * 0.5
    by_hand = 4 * 32 * 0.05 + 8 * 8.0 * 0.01 + crossing * 0.02
    assert found.cost_hour == pytest.approx(by_hand)
    assert found.cost_a_million == pytest.approx(by_hand / 36.0)  # 36 million in an hour


def test_one_rate_is_printed_with_the_reader_s_own_prices_and_the_page_stays(capsys):
    page = PAGE.read_text(encoding="utf-8")
    measured, assumed = read_numbers()
    assert main(["--rate", "5000", "--core-hour", "0.5", "--zones", "2"]) == 0
    expected = need(5000, measured, replace(assumed, core_hour=0.5, zones=2))
    assert f"| cost an hour | {expected.cost_hour:,.2f} |" in capsys.readouterr().out
    assert PAGE.read_text(encoding="utf-8") == page
