"""Actors, the search for what is pending, and the assembly meet in the ranges of the ring only."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.extraction import unit_extractor
from vitw_ray.extraction.assemble import Assembler, Decided
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.extraction.pending import Finder
from vitw_ray.extraction.screen.features import COUNTS
from vitw_ray.extraction.screen.head import Head
from vitw_ray.extraction.screen.screener import Screening
from vitw_ray.extraction.segments import open_answers
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.keys import Keyed, id_hash
from vitw_ray.records import CONVERSATIONS
from vitw_ray.run_folder import StageFolder, TableRef
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage

ANSWERS = "private/answers-x"
PART_ROWS, UNIT_ROWS = 32, 16


@pytest.fixture(autouse=True)
def without_syncing(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)


class Stage:
    """Stage 2 over a table of invented conversations, without Ray."""

    def __init__(self, root: Path, rows: int, stage: str = "x") -> None:
        config = RunConfig(
            extraction=ExtractionConfig(extractor="simulated"),
            execution=Execution(output=str(root), segment_seconds=1e9),
        )
        storage, keyed = Storage(str(root)), Keyed(b"a secret that is long enough for the tests")
        self.ids = sorted((f"c{n}" for n in range(rows)), key=id_hash)
        self.key = extractor_key(config)
        folder = StageFolder(storage, f"1_conversations-{stage}", keyed)
        self.parts = [
            folder.write_table("conversations", _rows(ids), number, private=True)
            for number, ids in enumerate(
                self.ids[start : start + PART_ROWS] for start in range(0, rows, PART_ROWS)
            )
        ]
        self.context = StageContext(
            config=config,
            storage=storage,
            keyed=keyed,
            epoch=1,
            inputs=(),
            shapes={},
            folder=StageFolder(storage, f"2_extractions-{stage}", keyed),
            tables={"conversations": TableRef("conversations", tuple(self.parts))},
            manifests={},
        )

    @property
    def answers(self):
        return open_answers(self.context.storage, ANSWERS, len(self.parts))

    def actor(self, epoch: int = 1, screening=None) -> unit_extractor.UnitExtractor:
        return unit_extractor.UnitExtractor(
            storage=self.context.storage,
            answers=self.answers,
            parts=self.parts,
            config=self.context.config,
            keyed=self.context.keyed,
            epoch=epoch,
            key=self.key,
            driver_version="1",
            screening=screening,
        )

    def units(self) -> list[dict]:
        return [
            {"part": part, "start": start, "stop": min(start + UNIT_ROWS, entry.rows)}
            for part, entry in enumerate(self.parts)
            for start in range(0, entry.rows, UNIT_ROWS)
        ]

    def answer_all(self, epoch: int = 1) -> Counter:
        actor, counts = self.actor(epoch), Counter()
        for unit in self.units():
            counts.update(actor(unit)["counts"])
        return counts

    def pending(self) -> list[int]:
        finder = Finder(self.context, self.answers, self.key)
        return [len(finder({"part": part})[1]) for part in range(len(self.parts))]

    def assemble(self) -> list[str]:
        assembler = Assembler(self.context, self.answers, self.key)
        return [assembler({"part": n})["file"].sha256 for n in range(len(self.parts))]

    def segments(self) -> list[str]:
        return [stat.path for stat in self.context.storage.list(ANSWERS)]


def _rows(ids) -> pa.Table:
    rows = [
        {
            "conversation_id": one,
            "source": "test",
            "messages": [{"role": "user", "content": one}, {"role": "assistant", "content": "-"}],
        }
        for one in ids
    ]
    return pa.Table.from_pylist(rows, CONVERSATIONS)


@pytest.fixture
def opened(monkeypatch):
    """Segments opened, each with how often."""
    counts: Counter[str] = Counter()
    for name in ("open", "read"):
        function = getattr(Storage, name)

        def counted(self, path, function=function):
            if path.startswith(ANSWERS):
                counts[path] += 1
            return function(self, path)

        monkeypatch.setattr(Storage, name, counted)
    return counts


def test_a_part_is_assembled_from_its_own_segments_and_all_parts_open_each_once(tmp_path, opened):
    stage = Stage(tmp_path, 8 * PART_ROWS)
    stage.answer_all()
    opened.clear()
    assembler = Assembler(stage.context, stage.answers, stage.key)
    for part in range(8):
        before = set(opened)
        assembler({"part": part})
        own = set(opened) - before
        assert len(own) <= 2 * PART_ROWS // UNIT_ROWS + 2  # a unit may lie in two ranges
    assert sorted(opened) == stage.segments()
    assert set(opened.values()) == {1}


def test_an_actor_holds_the_answers_of_its_unit_only(tmp_path, monkeypatch):
    stage = Stage(tmp_path, 8 * PART_ROWS)
    stage.answer_all()
    held = []
    find = unit_extractor.find_answers

    def noted(*arguments):
        found = find(*arguments)
        held.append(found.answers.num_rows)
        return found

    monkeypatch.setattr(unit_extractor, "find_answers", noted)
    actor = stage.actor()
    for unit in stage.units():
        assert actor(unit)["counts"]["answered"] == 0
    assert held == [UNIT_ROWS] * len(held)


def test_the_units_of_a_fresh_run_open_no_segment(tmp_path, opened):
    """They list their range; names say that what is there belongs to other units."""
    stage = Stage(tmp_path, 4 * PART_ROWS)
    stage.answer_all()
    assert not opened


def test_a_table_without_answers_is_not_read_for_its_text(tmp_path, monkeypatch):
    half = Stage(tmp_path, 8 * PART_ROWS)
    actor = half.actor()
    for unit in half.units()[:2]:
        actor(unit)
    read = []
    monkeypatch.setattr(
        "vitw_ray.extraction.pending.as_conversations", lambda table: read.append(1) or []
    )
    Finder(half.context, half.answers, half.key)({"part": 7})
    assert not read


@pytest.mark.parametrize(("first", "then"), [(2, 16), (16, 2), (1, 3)])
def test_a_run_over_other_input_asks_for_its_new_rows_only(tmp_path, first, then):
    """Whatever the size classes of the two."""
    before = Stage(tmp_path, first * PART_ROWS, "a")
    before.answer_all()
    after = Stage(tmp_path, then * PART_ROWS, "b")
    new = max(0, then - first) * PART_ROWS
    assert sum(after.pending()) == new
    counts = after.answer_all(epoch=2)
    assert (counts["answered"], counts["reused"]) == (new, then * PART_ROWS - new)
    fresh = Stage(tmp_path / "fresh", then * PART_ROWS)
    fresh.answer_all()
    assert after.assemble() == fresh.assemble()


def test_rows_without_an_answer_are_counted_and_no_part_is_written(tmp_path):
    stage = Stage(tmp_path, 2 * PART_ROWS)
    actor = stage.actor()
    for unit in stage.units()[1:]:
        actor(unit)
    with pytest.raises(StageFailed, match=f"{UNIT_ROWS} conversations of part 0 have no answer"):
        stage.assemble()


def test_answers_that_were_committed_before_the_division_give_the_same_table(tmp_path):
    stage = Stage(tmp_path, 4 * PART_ROWS)
    stage.answer_all()
    before = stage.assemble()
    for number, path in enumerate(stage.segments()):
        name = "-".join(Path(path).stem.split("-")[:4])
        stage.context.storage.write(
            f"{ANSWERS}/{name}{number}.parquet", stage.context.storage.read(path)
        )
        stage.context.storage.delete(path)
    assert sum(stage.pending()) == 0
    assert stage.answer_all(epoch=2)["answered"] == 0
    assert stage.assemble() == before


def test_what_a_screen_has_decided_lies_in_the_ranges_as_well(tmp_path):
    """A screen that leaves out all but its sample and the audited; a restart; the table."""
    stage = Stage(tmp_path, 4 * PART_ROWS)
    path = "private/screen-x/decided"

    def decided() -> Decided:
        return Decided(open_answers(stage.context.storage, path, 4), "screen@x")

    width = 3 * load_embedder("hashing").encode(["a"]).shape[1] + COUNTS
    screening = Screening(
        decided=decided().answers,
        head=Head(("objective", "subjective"), np.zeros((1, width)), np.array([-9.0])),
        threshold=0.0,
        embedder="hashing",
        level=2,
        sample=(((0, 8),), (), (), ()),
    )
    counts = Counter()
    for unit in stage.units():
        counts.update(stage.actor(screening=screening)(unit)["counts"])
    assert 8 <= counts["answered"] < 32
    finder = Finder(stage.context, stage.answers, stage.key, decided())
    found = [finder({"part": part}) for part in range(4)]
    assert sum(len(rows) for _, rows, _ in found) == 0
    assert sum(len(out) for _, _, out in found) == 4 * PART_ROWS - counts["answered"]
    again = stage.actor(2, screening)
    assert sum(again(unit)["counts"]["answered"] for unit in stage.units()) == 0
    assembler = Assembler(stage.context, stage.answers, stage.key, decided())
    totals = Counter()
    for part in range(4):
        totals.update(assembler({"part": part})["counts"])
    assert totals["skipped"] == 4 * PART_ROWS - counts["answered"]
    assert totals["screened"] == 4 * PART_ROWS - 8
