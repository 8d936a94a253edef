"""The guide to extending names files and code that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SOURCES = [
    path.read_text(encoding="utf-8")
    for folder in ("vitw_ray", "jobs", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path != Path(__file__)
]
QUOTED = [text for text in re.findall(r"`([^`\n]+)`", GUIDE) if "<" not in text]
PATHS = sorted({t for t in QUOTED if re.fullmatch(r"[\w.]+(/[\w.]*)+|\w+\.(py|md|toml)", t)})
NAMES = sorted({t for t in QUOTED if re.fullmatch(r"_?[A-Za-z]\w*_\w+|[A-Z]\w{3,}", t)})


@pytest.mark.parametrize("path", PATHS)
def test_a_file_that_the_guide_names_exists(path):
    prompts = ROOT / "vitw_ray" / "extraction" / "prompts" / "instructions_first"
    places = [ROOT, ROOT / "vitw_ray", prompts]
    places.append(ROOT / "vitw_ray" / "evaluation")
    assert [place for place in places if (place / path).exists()]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_code_that_the_guide_uses_is_in_the_code(name):
    assert any(re.search(rf"\b{name}\b", source) for source in SOURCES)


def test_a_section_of_the_guide_fits_a_screen():
    sections = re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]
    assert [title[:3] for title in sections] == ["(a)", "(b)", "(c)", "(d)", "(e)"]
    assert max(len(section.splitlines()) for section in sections) <= 45
