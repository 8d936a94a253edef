"""A reviewed sample as a file: read whole, or refused by the number of the line."""

import gzip
import json

import pytest

from vitw_ray.errors import InputError
from vitw_ray.statistics.correction.reviewed_file import read_reviewed, reviewed_digest

SECRET = "what nobody may read"
ROW = {
    "conversation_id": "c1",
    "stratum": "a",
    "probability": 0.25,
    "subjectivity": 3,
    "response_type": "mild_support",
    "ai_values": ["care"],
    "human_values": [],
    "labellers": 2,
}


def written(tmp_path, *rows) -> str:
    file = tmp_path / "reviewed.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return str(file)


def test_a_row_is_read_as_it_was_scored(tmp_path):
    file = read_reviewed(written(tmp_path, ROW, "", ROW | {"conversation_id": "c2"}))
    assert [row.conversation_id for row in file.rows] == ["c1", "c2"]
    assert (file.rows[0].probability, file.rows[0].ai_values) == (0.25, ("care",))
    assert not file.even


def test_a_file_without_probabilities_is_an_even_sample(tmp_path):
    plain = {name: ROW[name] for name in ("conversation_id", "subjectivity")}
    labels = {"ai_values": [{"label": "care", "explicit": True}]}
    file = read_reviewed(written(tmp_path, plain | labels))
    assert file.even
    assert file.rows[0].ai_values == ("care",)


def test_a_compressed_file_is_the_same_file(tmp_path):
    packed = tmp_path / "reviewed.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(ROW).encode()))
    assert reviewed_digest(str(packed)) == reviewed_digest(written(tmp_path, ROW))
    assert reviewed_digest(None) is None


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (ROW | {"conversation_id": "c2", "probability": 0}, "line 2: probability"),
        (ROW | {"conversation_id": "c2", "probability": 1.5}, "line 2: probability"),
        (ROW | {"conversation_id": "c2", "subjectivity": 5}, "line 2: subjectivity"),
        (ROW | {"conversation_id": "c2", "response_type": SECRET}, "line 2: response_type"),
        (ROW | {"conversation_id": "c2", "ai_values": SECRET}, "line 2: ai_values"),
        (ROW | {"conversation_id": "c2", "stratum": None}, "line 2: stratum or probability"),
        ({"conversation_id": "c2", "subjectivity": 3}, "line 2: some lines have a probability"),
        ({"conversation_id": "c2", "text": SECRET}, "line 2: subjectivity"),
        (ROW, "line 2: the conversation of line 1"),
        (SECRET, "line 2 is not valid JSON"),
        (f'["{SECRET}"]', "line 2: "),
    ],
)
def test_a_wrong_line_is_named_by_its_number_and_never_quoted(tmp_path, second, problem):
    with pytest.raises(InputError) as refused:
        read_reviewed(written(tmp_path, ROW, second))
    assert problem in refused.value.problem
    assert SECRET not in str(refused.value)
    assert refused.value.fix


def test_an_empty_or_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no conversation"):
        read_reviewed(written(tmp_path, ""))
    with pytest.raises(InputError, match="cannot be read"):
        read_reviewed(str(tmp_path / "nowhere.jsonl"))
