"""The benchmarks' own arithmetic: a figure is worth what its measurement is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import bench_correction  # noqa: E402
import bench_embed  # noqa: E402
import bench_extract  # noqa: E402
import bench_kmeans  # noqa: E402
import bench_scaling  # noqa: E402
import bench_schedule  # noqa: E402
import bench_statistics  # noqa: E402
import bench_taxonomy  # noqa: E402
import extract_engine  # noqa: E402
import extract_routes  # noqa: E402
import extract_tokens  # noqa: E402
import harness  # noqa: E402
import memory  # noqa: E402
import run  # noqa: E402

MB = 2**20


def test_variants_are_measured_in_turn_and_every_second_round_backwards():
    order: list[str] = []
    ticks = iter(range(100))
    seconds = harness.interleave(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")},
        rounds=3,
        clock=lambda: next(ticks),
    )
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [1, 1, 1], "b": [1, 1, 1]}


def test_one_slow_round_does_not_move_a_ratio():
    assert harness.ratio([2.0, 200.0, 2.0], [1.0, 100.0, 1.0]) == 2.0
    assert harness.ratio([2.0, 200.0, 2.0], [1.0, 1.0, 1.0]) == 2.0


def test_the_spread_of_an_aa_pair_has_no_direction():
    assert harness.spread([1.1], [1.0]) == pytest.approx(0.1)
    assert harness.spread([0.9], [1.0]) == pytest.approx(0.1)


def test_rounding_keeps_four_digits_of_small_and_of_large_numbers():
    assert harness.rounded(0.000123456) == 0.0001235
    assert harness.rounded(2_133_191_680) == 2_133_000_000


def test_the_last_line_of_a_report_is_the_result_as_json(capsys):
    result = harness.Result("test", True, work={"rows": 3}, ratios={"over": 1.23456})
    result.rows.append(("one", "1"))
    result.report(("what", "s"))
    *table, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert len(table) == 3
    assert found["ratios"] == {"over": 1.235}
    assert set(found) == {
        *("benchmark", "commit", "versions", "hardware", "quick"),
        *("work", "ratios", "rates", "aa_spread"),
    }


def test_every_benchmark_is_run_and_every_result_is_of_a_benchmark():
    files = {file.stem.removeprefix("bench_") for file in BENCHMARKS.glob("bench_*.py")}
    assert set(run.BENCHMARKS) == files
    for file in (BENCHMARKS / "results").glob("*.json"):
        found = json.loads(file.read_text())
        quick = "-quick" if found["quick"] else ""
        assert file.stem == f"{found['benchmark']}{quick}"
        # a benchmark may measure a second thing: statistics_paper is of bench_statistics;
        # `card` is what several of them measured on a GPU on one day; `race` needs environments,
        # and `answer_agreement` weights
        known = (*files, "card", "race", "answer_agreement")
        assert any(found["benchmark"].startswith(name) for name in known)


def test_the_price_of_a_unit_is_what_more_units_of_the_same_rows_cost():
    usual, small = (bench_scaling.Run({}, cpu_s) for cpu_s in (5.0, 8.0))
    units = [bench_scaling.units_of(4_000, 2, rows)["units"] for rows in (256, 16)]
    assert units[1] >= 4_000 / 16 > 5 * units[0]
    found = bench_scaling.per_unit_ms(usual, small, 4_000, 2)
    assert found == pytest.approx(3_000 / (units[1] - units[0]))


def child(code: str) -> subprocess.Popen:
    """A Python process that says when it is ready, then waits for its input to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", code + "\nprint(flush=True); import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def stop(process: subprocess.Popen) -> None:
    process.communicate()


def test_memory_of_grandchildren_is_counted():
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'x = bytearray(b\"1\" * (64 << 20)); print(flush=True); input()'], "
        "stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    process = child(code)
    own, family = memory.pss_bytes(process.pid), sum(memory.sample(process.pid).values())
    stop(process)
    assert 64 * MB < family - own < 100 * MB


def test_shared_memory_is_counted_once():
    """In a process of its own: whatever a larger one writes after the fork is counted twice."""
    code = (
        "import mmap, os, sys\n"
        f"shared = mmap.mmap(-1, {64 * MB})\n"
        f"shared.write(b'1' * {64 * MB})\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        f"    for page in range(0, {64 * MB}, mmap.PAGESIZE): shared[page]\n"
        "    print(os.getpid(), flush=True)\n"
        "sys.stdin.readline()"
    )
    process = child(code)
    before = sum(memory.sample(process.pid).values())
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    pid = int(process.stdout.readline())
    rss = Path(f"/proc/{pid}/smaps_rollup").read_text()
    both = sum(memory.sample(process.pid).values())
    stop(process)
    assert int(rss.split("Rss:")[1].split()[0]) > 64 * 1024
    assert both - before < 32 * MB


def test_a_daemon_of_a_local_ray_belongs_to_who_started_it():
    owner = child("")
    # As `ray start` leaves them: no longer a descendant, the session's name on the command line.
    daemon = child(f"_ = '/tmp/ray/session_2025-01-01_00-00-00_000000_{owner.pid}/logs'")
    family, others = memory.family(owner.pid), memory.family(daemon.pid)
    stop(daemon)
    stop(owner)
    assert daemon.pid in family
    assert owner.pid not in others


def test_a_process_that_is_gone_has_no_memory():
    process = child("")
    stop(process)
    assert memory.pss_bytes(process.pid) == 0


def test_the_peak_is_the_highest_sum_and_remembers_its_parts():
    peak = memory.Peak()
    for second, sample in enumerate(({"a": 1}, {"a": 2, "b": 5}, {"a": 6})):
        peak.take(sample, second)
    assert peak == memory.Peak(bytes=7, by_name={"a": 2, "b": 5}, at_s=1, samples=3)


def test_a_command_that_fails_says_so(tmp_path):
    with (tmp_path / "out").open("wb") as output:
        code, peak = memory.run_measured([sys.executable, "-c", "print(1); exit(3)"], output)
    assert code == 3
    assert peak.samples >= 1
    assert (tmp_path / "out").read_text() == "1\n"


def test_padding_efficiency_counts_what_the_model_computes():
    pieces = [[1] * 2, [1] * 4, [1] * 4]
    assert bench_embed.padding_efficiency(pieces, [[0, 1, 2]]) == 10 / 12
    assert bench_embed.padding_efficiency(pieces, [[0], [1, 2]]) == 1.0


def test_inertia_is_the_mean_squared_distance_to_the_nearest_centroid():
    rows = bench_kmeans.unstructured(500, 7)
    centroids = rows[:7]
    distances = np.linalg.norm(rows[:, None].astype(float) - centroids[None], axis=2) ** 2
    found = bench_kmeans.inertia(rows, centroids)
    assert found == pytest.approx(distances.min(axis=1).mean(), rel=1e-6)


def test_an_actor_that_works_without_a_pause_is_steady_at_one():
    cost = bench_extract.COST_S
    units = [{"committed": 100 + n * 256 * cost, "counts": {"answered": 256}} for n in range(5)]
    assert bench_extract.steady_efficiency(units) == pytest.approx(1.0)
    assert bench_extract.steady_efficiency(units[::-2]) == pytest.approx(0.5)


def test_counts_that_differ_from_an_engines_in_one_cell_are_not_measured():
    table = bench_statistics.draw(np.random.default_rng(0), 300, 0)
    ours = bench_statistics.matrices(bench_statistics.count_all(table))
    for engine in (bench_statistics.DuckDb, bench_statistics.Polars):
        theirs = engine(table, bench_statistics.ANCESTORS).tables()
        bench_statistics.check(ours, theirs, "engine")
        ours["human 2"][3, 2] += 1
        with pytest.raises(SystemExit):
            bench_statistics.check(ours, theirs, "engine")
        ours["human 2"][3, 2] -= 1


def test_a_tree_of_prefixes_counts_each_shared_beginning_once():
    prompts = [[1, 2, 3], [1, 2, 4], [1, 2], [5], [1, 2, 3]]
    assert extract_tokens.unique_tokens(prompts) == 5


def test_a_cache_of_blocks_keeps_whole_blocks_and_computes_a_token_of_every_prompt():
    prompts = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 9, 4, 5], [1, 2, 3, 4]]
    assert extract_tokens.by_blocks(prompts, 2) == 5 + 1 + 3 + 2
    assert extract_tokens.by_blocks(prompts, 5) == 5 + 5 + 5 + 4


def test_the_steady_rate_of_an_engine_leaves_out_its_start_and_its_drain():
    filling = [10.0 + 0.1 * n for n in range(10)]
    steady = [11.0 + 0.01 * n for n in range(80)]
    draining = [12.0 + n for n in range(10)]
    rate = extract_engine.steady_rate(0.0, filling + steady + draining)
    assert rate == pytest.approx(100, rel=0.02)
    assert extract_engine.steady_rate(0.0, [2.0, 2.0]) == 1.0


def test_a_simulated_engine_reads_and_writes_each_token_once():
    """Closed forms: reading alone takes its rate, and one sequence one step for each token."""
    free = bench_schedule.Card(step_s=0.0, weights_s=0.0, token_bytes=0.0)
    many = [bench_schedule.Request(1_000, 0, 1)] * 39
    assert bench_schedule.simulate(free, many)["seconds"] == pytest.approx(1.0)
    steps = bench_schedule.Card(read_s=0.0, weights_s=0.0, token_bytes=0.0, step_s=1.0)
    one = [bench_schedule.Request(10, 0, 7)]
    assert bench_schedule.simulate(steps, one)["seconds"] == pytest.approx(7.0)
    assert bench_schedule.simulate(steps, one * 9, sequences=3)["seconds"] == pytest.approx(21.0)


def test_a_simulated_engine_waits_for_room_in_its_cache():
    steps = bench_schedule.Card(
        read_s=0.0, weights_s=0.0, token_bytes=0.0, step_s=1.0, cache_tokens=40
    )
    requests = [bench_schedule.Request(10, 0, 10)] * 4
    assert bench_schedule.simulate(steps, requests)["seconds"] == pytest.approx(20.0)


def test_a_steady_rate_counts_from_the_engine_being_ready():
    finished = [110.0, 104.0, 108.0]
    timing = extract_routes.Timing(seconds=60.0, ready=100.0, finished=finished)
    assert timing.steady == pytest.approx(0.3)


def test_a_tree_that_is_the_same_for_every_subsample_holds_and_a_random_one_does_not():
    rows = np.arange(400, dtype=np.float32)[:, None]

    def by_value(rows, seed):
        return [(rows[:, 0] // size).astype(np.int32) for size in (10, 50, 100)]

    assert bench_taxonomy.over_subsamples(by_value, rows, 3) == [1.0] * 3
    assert np.all(np.abs(bench_taxonomy.over_subsamples(bench_taxonomy.chance, rows, 3)) < 0.1)


def test_random_trees_nest():
    lower, *upper = bench_taxonomy.chance(np.zeros((3307, 1), np.float32), 0)
    for level in upper:
        assert len(set(zip(lower.tolist(), level.tolist(), strict=True))) == len(set(lower))
        lower = level


@pytest.mark.slow
def test_corrected_intervals_hold_the_truth_where_naive_ones_do_not():
    found = bench_correction.measure(quick=True)
    for name in ("shares", "differences", "odds_ratios"):
        assert found.ratios[f"{name}_coverage"] > 0.9
        assert found.ratios[f"{name}_naive_coverage"] < 0.5
    assert found.ratios["false_differences_corrected"] <= 0.06
    assert found.ratios["false_differences_naive"] >= 0.3
    assert found.ratios["labels_saved"] >= 1.25
