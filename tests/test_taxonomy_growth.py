"""What the taxonomy stage reads for each conversation is the same at any size."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taxonomy_stage import stage_context

from vitw_ray import cluster
from vitw_ray.gate import Support
from vitw_ray.inference.embedder import Hashing
from vitw_ray.keys import id_hash
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.vectors import texts as texts_module
from vitw_ray.taxonomy.vectors.blocks import BlockEmbedder
from vitw_ray.taxonomy.vectors.texts import (
    Texts,
    merge_texts,
    read_block,
    write_counts,
    write_tasks,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from bench_stage_growth import STAGES, measured
from counted_reads import CountedReads

PARTS = 24
TASKS_IN_A_PART = 20
BLOCK = 16


@pytest.fixture
def in_this_process(monkeypatch):
    """Units run one after the other, where reads can be counted; runs are short."""
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))
    monkeypatch.setattr(texts_module, "RUN_ROWS", 4 * TASKS_IN_A_PART)


def context_of(folder, parts):
    tasks = [f"task {number % 7} of {number}" for number in range(parts * TASKS_IN_A_PART)]
    return stage_context(folder, ["care"], tasks)


def written(context, reads):
    """From parts to vector files; the blocks."""
    with reads:
        texts = write_tasks(context)
        blocks = texts.blocks(BLOCK)
        merged = merge_texts(context.storage, "private/scratch", texts, blocks)
        actor = BlockEmbedder(
            storage=context.storage,
            keyed=context.keyed,
            kinds=[merged],
            folder="private/scratch",
            vectors="private/vectors",
            make=Hashing,
        )
        return [actor({"kind": 0, "block": n, "blocks": blocks})[0] for n in range(blocks)]


def test_opens_and_bytes_of_texts_and_vectors_double_with_the_parts(tmp_path, in_this_process):
    found = []
    for parts in (PARTS, 2 * PARTS):
        reads = CountedReads()
        blocks = written(context_of(tmp_path / str(parts), parts), reads)
        assert sum(block.texts for block in blocks) == parts * TASKS_IN_A_PART
        found.append(reads)
    small, large = found
    assert large.opens <= 2.1 * small.opens
    assert large.bytes <= 2.1 * small.bytes
    assert large.rows <= 2.1 * small.rows


def test_a_part_is_opened_once_to_count_its_tasks(tmp_path, in_this_process):
    context = context_of(tmp_path, PARTS)
    with CountedReads() as reads:
        texts = write_tasks(context)
    assert reads.opens == PARTS
    assert len(texts.runs) == PARTS // 4


accounts = st.dictionaries(st.sampled_from("abcd"), st.sets(st.integers(0, 5), min_size=1))


@given(st.lists(accounts, max_size=12), st.integers(0, 3))
def test_accounts_of_a_text_are_known_up_to_the_number_that_decides(tmp_path_factory, parts, most):
    storage = Storage(str(tmp_path_factory.mktemp("texts")))
    runs = []
    for part in parts:
        found = Support[str](most)
        for text, people in part.items():
            for one in people:
                found.count(text, str(one))
        runs += write_counts(storage, "private/runs", found.conversations, found.accounts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "stream", lambda units, function: map(function, units))
        texts = merge_texts(storage, "private", Texts("tasks", tuple(runs), 9, most), 2)
        rows = [row for n in range(2) for row in read_block(storage, texts, n, 2).to_pylist()]
    assert len(rows) == len({text for part in parts for text in part})
    for row in rows:
        people = {id_hash(str(one)) for part in parts for one in part.get(row["text"], ())}
        assert row["conversations"] == sum(len(part.get(row["text"], ())) for part in parts)
        assert row["accounts"] == sorted(row["accounts"])
        assert set(row["accounts"]) <= people
        assert len(row["accounts"]) == min(most, len(people))


def test_opens_bytes_and_writes_of_the_whole_stage_double_with_the_conversations():
    small, large = (measured(rows, stages=("labels", "taxonomy")) for rows in (3_200, 6_400))
    for name in ("opens", "bytes", "writes"):
        assert getattr(large["taxonomy"], name) <= 2.1 * getattr(small["taxonomy"], name), name


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_opens_and_bytes_per_conversation_are_the_same_at_four_times_as_many(four_times, stage):
    small, large = four_times
    for name in ("opens", "bytes", "writes"):
        assert getattr(large[stage], name) <= 4 * 1.1 * getattr(small[stage], name), name


@pytest.fixture(scope="module")
def four_times():
    return [measured(rows) for rows in (12_800, 51_200)]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_what_is_read_from_a_bucket_grows_as_what_is_read_from_a_folder(in_a_bucket, stage):
    small, large = in_a_bucket
    assert large[stage].opens <= 4 * 1.1 * small[stage].opens
    assert large[stage].bytes <= 4 * 1.1 * small[stage].bytes


@pytest.fixture(scope="module")
def in_a_bucket(s3_server):
    return [measured(rows, s3_server.new_bucket() + "/run") for rows in (1_600, 6_400)]
