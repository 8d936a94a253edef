"""Tables and figures of the documentation are those of the code and of the committed results."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import get_args

import pytest
from pages import PAGES, ROOT, codes, inline_code, rows

from vitw_ray.cli.attack import Arguments as Attack
from vitw_ray.cli.certify import Arguments as Certify
from vitw_ray.cli.check import REFERENCE
from vitw_ray.cli.plan import PlanFlags
from vitw_ray.cli.publish import Arguments as Publish
from vitw_ray.cli.reader_flags import FLAGS, flag_of
from vitw_ray.cli.report import Arguments as Report
from vitw_ray.cli.review import Draw, Score
from vitw_ray.cli.status import Arguments as Status
from vitw_ray.column_map import FIELDS
from vitw_ray.config import RunConfig, SourceFormat
from vitw_ray.conversations.grouping import MAX_GROUPED_CHARS, MAX_GROUPED_ROWS
from vitw_ray.conversations.shapes import SHAPES
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.pipeline import STAGES
from vitw_ray.presets import PRESETS
from vitw_ray.profiles import EMBEDDER_PROFILES, READER_PROFILES, ReaderProfile
from vitw_ray.records import TABLES


def test_the_stages_are_described_with_what_they_read():
    described = {
        codes(stage)[0]: set(codes(reads))
        for stage, reads, _ in rows("docs/architecture.md", "| stage | reads | runs as |")
    }
    assert list(described) == [stage.name for stage in STAGES]
    for stage in STAGES[1:]:
        assert described[stage.name] == set(stage.reads) or stage.name == "report"


def test_every_table_stands_in_the_layout_of_the_run_folder():
    layout = PAGES["docs/run-folder.md"].split("```text")[1].split("```")[0]
    assert not [name for name in TABLES if not re.search(rf"\b{name}\b", layout)]


def test_every_shape_is_described():
    described = [
        name
        for shape, *_ in rows("docs/shapes.md", "| shape | rows | from beside the messages |")
        for name in codes(shape)
    ]
    assert sorted(described) == sorted(SHAPES)
    assert f"[{len(SHAPES)} shapes](docs/shapes.md)" in PAGES["README.md"]


def test_every_shape_can_be_named_and_every_field_mapped():
    assert set(get_args(SourceFormat)) == {"auto", *SHAPES}
    mapped = PAGES["docs/shapes.md"].split("The fields are ")[1].split(".")[0]
    assert sorted(re.findall(r"`(\w+)`", mapped)) == sorted(FIELDS)


def test_the_bounds_of_joined_rows_are_stated():
    page = " ".join(PAGES["docs/shapes.md"].split())
    stated = f"{MAX_GROUPED_ROWS:,} rows and {MAX_GROUPED_CHARS // 10**6} million characters"
    assert stated in page
    joined = page.split("Rows of ")[1].split(" are messages")[0]
    assert sorted(re.findall(r"`([\w-]+)`", joined)) == sorted(
        name for name, shape in SHAPES.items() if shape.grouped_by
    )


def test_every_extractor_is_described():
    for page, header in (
        ("README.md", "| `--extractor` | reader |"),
        ("docs/readers.md", "| extractor | what it is | install |"),
    ):
        assert sorted(codes(row[0])[0] for row in rows(page, header)) == sorted(EXTRACTORS)


PROFILE_HEADER = (
    "| profile | model | parameters | weights | context | GPUs (80 GB) | memory | reasoning"
    " | licence | sources | tried |"
)


def profile_cells(name: str, profile: ReaderProfile) -> list[str]:
    if profile.answer_prefix:
        reasoning = "the final answer is opened"
    elif profile.template.get("enable_thinking") is False:
        reasoning = "`enable_thinking` is off"
    else:
        reasoning = "none"
    return [
        f"`{name}`",
        profile.model,
        f"{profile.billions:g} B",
        str(profile.precision),
        f"{profile.context_tokens:,}",
        str(profile.tensor_parallel),
        f"{profile.gpu_memory_gib} GiB",
        reasoning,
        str(profile.licence),
        " ".join(f"[{i}]({source})" for i, source in enumerate(profile.sources, 1)),
        profile.tried or "-",
    ]


def test_the_table_of_reader_profiles_is_that_of_the_code():
    expected = [profile_cells(name, profile) for name, profile in READER_PROFILES.items()]
    assert rows("docs/profiles.md", PROFILE_HEADER) == expected


def test_every_reader_profile_that_a_page_names_exists():
    for page in ("README.md", "docs/readers.md", "docs/vllm-on-a-cpu.md"):
        named = re.findall(r"--model ([a-z][\w.-]*)(?= |$)", PAGES[page])
        assert not set(named) - READER_PROFILES.keys()


def test_every_embedder_profile_is_described_with_its_model():
    header = "| profile | model | weights, dimensions, licence | use |"
    described = {codes(row[0])[0]: row[1] for row in rows("docs/embedders.md", header)}
    assert described.keys() == EMBEDDER_PROFILES.keys()
    assert all(described[name].startswith(p.model) for name, p in EMBEDDER_PROFILES.items())


def test_every_preset_is_described_with_its_reader_device_and_actors():
    described = {
        codes(preset)[0]: (codes(reader), where)
        for preset, reader, where, _ in rows(
            "docs/cluster.md", "| preset | reader | device, actors | for |"
        )
    }
    expected = {}
    for name, make in PRESETS.items():
        extraction, execution = make().extraction, make().execution
        reader = [extraction.extractor, *([extraction.model] if extraction.model else [])]
        expected[name] = (reader, f"{execution.device}, {execution.actors}")
    assert described == expected


OTHER_FLAGS = {"--preset", "--help", "--help-all", "--version", "--extra-index-url"}
"""Flags that are no setting of a run."""


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_that_is_named_exists(page):
    known = OTHER_FLAGS | {
        "--" + setting.name.replace("_", "-")
        for stage in dataclasses.fields(RunConfig)
        for setting in dataclasses.fields(stage.type)  # type: ignore[arg-type]
    }
    known |= {flag_of(name) for name in FLAGS}
    commands = (Publish, Draw, Score, Attack, Certify, Status, Report, PlanFlags)
    known |= {flag_of(field.name) for kind in commands for field in dataclasses.fields(kind)}
    known |= {REFERENCE, "--dry-run"}
    if page == "benchmarks/README.md":
        sources = "".join(p.read_text("utf-8") for p in (ROOT / "benchmarks").glob("*.py"))
        known |= set(re.findall(r'"(--[a-z-]+)"', sources))
    named = {flag for code in inline_code(page) for flag in re.findall(r"(?<!\S)--[a-z-]+", code)}
    assert not named - known


# Figures, against the committed results


def results(name: str) -> dict:
    return json.loads((ROOT / "benchmarks/results" / name).read_text(encoding="utf-8"))


FIGURES: dict[str, Callable[[dict], list[float]]] = {
    "conversations read": lambda r: [r["rates"]["conversations_rows_per_s"]],
    "extraction with a free reader": lambda r: [r["rates"]["extractions_rows_per_s"]],
    "extraction with the lexicon": lambda r: [1000 / r["rates"]["cpu_ms_per_row"]],
    "labels; statistics": lambda r: [
        r["rates"][f"{stage}_rows_per_s"] for stage in ("labels", "statistics")
    ],
    "peak memory": lambda r: [n / 1e9 for n in r["work"]["peak_bytes"]],
    "taxonomy": lambda r: [
        r["work"]["stage_seconds"]["taxonomy"],
        sum(r["work"]["stage_seconds"][stage] for stage in ("report", "release")),
    ],
    "prefilled tokens, the": lambda r: [r["ratios"]["prefill_saving"]],
    "prefilled tokens of": lambda r: [r["ratios"]["prefill_over_optimum"]],
    "written tokens": lambda r: [r["ratios"]["output_saving_of_the_gate"]],
    "vLLM on a CPU": lambda r: [r["ratios"]["pipeline_efficiency_steady"], r["aa_spread"]],
    "the same, a whole run": lambda r: [r["ratios"]["over_ray_data_llm"]],
    "36,000 conversations": lambda r: [
        r["work"]["long"]["seconds"][of] for of in ("pipeline", "alone")
    ],
    "one H200, shape of": lambda r: [r["ratios"]["extractor_efficiency_steady"], r["aa_spread"]],
    "one H200, exact k-means": lambda r: [
        r["rates"][f"{of}_iteration_s"] for of in ("ours", "faiss")
    ],
}


@pytest.mark.parametrize("row", rows("README.md", "| what | figure | result |"), ids=lambda r: r[0])
def test_a_figure_of_the_readme_is_that_of_its_result(row):
    what, figure, result = row
    (measured,) = [of for start, of in FIGURES.items() if what.startswith(start)]
    written = re.findall(r"\d[\d,]*(?:\.\d+)?", figure)
    found = measured(results(codes(result)[0]))
    for number, value in zip(written, found, strict=True):
        assert float(number.replace(",", "")) == rounded_like(number, value)


def rounded_like(written: str, value: float) -> float:
    """A value to the decimals, or else to the digits before the zeros, of a number as written."""
    if "." in written:
        return round(value, len(written.partition(".")[2]))
    return float(f"{value:.{len(written.replace(',', '').rstrip('0'))}g}")


@pytest.mark.parametrize("page", ["README.md", "docs/statistics.md"])
def test_what_the_statistics_find_is_what_was_measured(page):
    work = results("statistics_paper.json")["work"]
    text = " ".join(PAGES[page].split())
    assert f"all {work['planted_found']} planted associations are found" in text
    assert work["planted_found"] == work["planted"]
    cells, found = work["null_cells"] / 1e6, work["null_significant"]
    assert f"of {cells:.1f} million null cells {found} are called significant" in text
