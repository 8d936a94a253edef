"""docs/tables.md says what the schemas say, and its queries run and agree."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from vitw_ray.opened_run import WRITTEN_BY, OpenedRun, Table
from vitw_ray.records import TABLES
from vitw_ray.resolved_names import NAME_COLUMNS, resolved_schema
from vitw_ray.storage import PRIVATE

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "tables.md").read_text(encoding="utf-8")
COLUMNS, QUESTIONS = PAGE.split("## Columns\n")[1].split("## Three questions\n")
ROW = re.compile(r"^\| `(\w+)`( \*added\*)? \| (.+?) \| (.+?) \|$", re.MULTILINE)


def sections(text: str) -> dict[str, str]:
    """Text of each section of the third rank, by its heading."""
    heads = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(heads[1::2], heads[2::2], strict=True))


def blocks(text: str, language: str = r"\w+") -> list[tuple[str, str]]:
    return re.findall(rf"^```({language})\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def written(kind: pa.DataType) -> str:
    """A type as the page writes it."""
    if pa.types.is_list(kind):
        return f"list of {written(kind.value_type)}"
    if pa.types.is_struct(kind):
        fields = (kind.field(i) for i in range(kind.num_fields))
        return "{" + ", ".join(f"{field.name} {column(field)}" for field in fields) + "}"
    return str(kind)


def column(field: pa.Field) -> str:
    return written(field.type) + (" or null" if field.nullable else "")


def test_the_page_has_every_table_in_its_order():
    assert list(sections(COLUMNS)) == list(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_the_page_has_the_columns_and_types_of_the_schema(name):
    told = [(row[0], bool(row[1]), row[2]) for row in ROW.findall(sections(COLUMNS)[name])]
    added = NAME_COLUMNS.get(name, {}).values()
    assert told == [(f.name, f.name in added, column(f)) for f in resolved_schema(name)]


@pytest.mark.ray
@pytest.mark.parametrize("name", [name for name in TABLES if name != "certificate"])
def test_the_page_says_of_each_table_its_stage_and_whether_it_is_private(sample_run, name):
    number = sample_run.stages[WRITTEN_BY[name]]["number"]
    (told,) = re.findall(r"^Stage (\d, \w+)\. (\w+)", sections(COLUMNS)[name], re.MULTILINE)
    paths = sample_run.content["tables"][name]["files"]
    private = all(path.startswith(f"{PRIVATE}/") for path in paths)
    assert told == (f"{number}, {WRITTEN_BY[name]}", "Private" if private else "Public")


def cells(answer: Any) -> list[tuple[Any, ...]]:
    """An answer as sorted rows of plain values, whichever library gave it."""
    if isinstance(answer, pd.DataFrame):
        answer = pa.Table.from_pandas(answer, preserve_index=False)
    elif isinstance(answer, duckdb.DuckDBPyRelation):
        answer = pa.table(answer)
    return sorted(tuple(row.values()) for row in answer.to_pylist())


@pytest.fixture(scope="module")
def names(sample_run: OpenedRun) -> dict[str, Any]:
    """What the blocks of the page that prepare the queries define, for the sample run."""
    defined: dict[str, Any] = {}
    for _, code in blocks(QUESTIONS.split("### ")[0]):
        exec(code.replace("runs/sample", sample_run.address), defined)
    return defined


@pytest.mark.ray
@pytest.mark.parametrize("question", sections(QUESTIONS))
def test_sql_pandas_and_the_opened_run_give_one_answer(names, question):
    text = sections(QUESTIONS)[question]
    ((_, sql),) = blocks(text, "sql")
    from_files, from_run = (code for _, code in blocks(text, "python"))
    expected = cells(duckdb.sql(sql))
    assert expected
    for code in (from_files, from_run):
        scope = dict(names)
        exec(code, scope)
        assert cells(scope["answer"]) == expected


@pytest.mark.ray
def test_the_files_that_the_queries_read_are_public(names, sample_run):
    paths = [path for table in names["files"].values() for path in table]
    assert paths
    assert not [path for path in paths if f"{sample_run.address}/{PRIVATE}/" in path]


@pytest.mark.ray
def test_the_lines_about_reading_a_table_run(sample_run, capsys):
    ((_, code),) = blocks(PAGE.split("## Reading a table")[1].split("\n## ")[0])
    scope: dict[str, Any] = {}
    exec(code.replace("runs/sample", sample_run.address), scope)
    assert isinstance(scope["table"], Table)
    assert "associations" in capsys.readouterr().out


def test_every_link_of_the_page_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    docs = Path(__file__).resolve().parents[1] / "docs"
    assert links
    assert not [link for link in links if not (docs / link).exists()]
