"""Large files are read in ranges by several workers; what is written does not show it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading_stage import ReadStage

from vitw_ray import cluster
from vitw_ray.conversations import reading_units, rows
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.survey import survey
from vitw_ray.stages import SourceFile


def row(n, **more):
    turns = [{"role": "user", "content": f"q {n}"}, {"role": "assistant", "content": "a" * n}]
    return {"conversation_id": f"c{n}", "messages": turns, **more}


LINES = [
    *(json.dumps(row(n)) for n in range(12)),
    *("", "not json", "[1, 2]", "  ", json.dumps(row(12)) + json.dumps(row(13))),
    json.dumps(row(14, pad="x" * 900)),  # longer than several ranges
    *(json.dumps(row(n)) for n in range(15, 22)),
    *('{"messages": 3}', json.dumps(row(1)), json.dumps([row(22), row(23), 4])),
]


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Run the stage over the files of a folder, in ranges of so many bytes."""
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))
    monkeypatch.setattr(rows, "MAX_ROW_BYTES", 2_000)

    def run(folder, span_bytes):
        monkeypatch.setattr(reading_units, "SPAN_BYTES", span_bytes)
        output = tmp_path / f"out-{span_bytes}"
        output.mkdir()
        return ReadStage(output, [str(folder)], {})

    return run


def units_of(folder):
    found = survey(list_input([str(folder)]))
    return reading_units.reading_units(found.files, found.shapes)


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_ranges_of_lines_give_the_tables_of_the_whole_file(stage, tmp_path, newline, end):
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [LINES[0], *LINES[1:14], "y" * 3_000, *LINES[14:]]
    (folder / "a.jsonl").write_bytes((newline.join(lines) + end).encode())
    whole = stage(folder, 1 << 20)
    for span_bytes in (1, 97, 1_000):
        split = stage(folder, span_bytes)
        assert split.bytes == whole.bytes
        assert split.rejects == whole.rejects
        assert split.report.details["rows_by_file"] == whole.report.details["rows_by_file"]
    assert set(whole.rejects.values()) > {"not_json", "row_too_long", "identical"}


def test_ranges_of_row_groups_give_the_tables_of_the_whole_file(stage, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    found = [row(n) for n in range(60)] + [row(3), {"conversation_id": "none", "messages": []}]
    pq.write_table(pa.Table.from_pylist(found), folder / "a.parquet", row_group_size=5)
    whole = stage(folder, 1 << 20)
    split = stage(folder, 700)
    assert len([span for unit in units_of(folder) for span in unit["spans"]]) > 3
    assert split.bytes == whole.bytes
    assert split.rejects == whole.rejects
    assert set(whole.rejects) == {("a.parquet", n) for n in (0, 60, 61)}


def test_files_that_cannot_be_divided_are_one_span(monkeypatch, tmp_path):
    monkeypatch.setattr(reading_units, "SPAN_BYTES", 10)
    (tmp_path / "array.json").write_text(json.dumps([row(n) for n in range(5)]))
    message = {"conversation_id": "c", "turn": 0, "role": "user", "content": "q"}
    joined = [message, {**message, "turn": 1, "role": "assistant"}]
    (tmp_path / "joined.jsonl").write_text("".join(json.dumps(one) + "\n" for one in joined))
    spans = [span for unit in units_of(tmp_path) for span in unit["spans"]]
    assert spans == [(0, 0, None, 0), (1, 0, None, 0)]


def test_units_grow_with_the_input_and_hold_many_small_files(monkeypatch, tmp_path):
    for n in range(40):
        (tmp_path / f"{n:02d}.jsonl").write_text(json.dumps(row(n)) + "\n")
    assert len(units_of(tmp_path)) == 1
    monkeypatch.setattr(reading_units, "LEAST_UNIT_BYTES", 1)
    monkeypatch.setattr(reading_units, "MOST_UNITS", 8)
    units = units_of(tmp_path)
    assert 8 <= len(units) <= 16
    assert sorted(span[0] for unit in units for span in unit["spans"]) == list(range(40))


def test_files_of_a_batch_are_one_unit_and_every_other_file_is_read_once():
    names = ["a/1.jsonl", "a/2.jsonl", "b/1.jsonl", "a/3.jsonl", "a/4.txt"]
    files = [SourceFile(f"/{name}", name, 10, "") for name in names]
    shapes = dict.fromkeys(names[:3], "batch") | {"a/3.jsonl": "vitw"}
    units = reading_units.reading_units(files, shapes)
    assert [[span[0] for span in unit["spans"]] for unit in units] == [[0, 1], [2], [3]]
