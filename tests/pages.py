"""The pages of the documentation, and what tests take out of them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "benchmarks/README.md",
    )
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return [text for name, text in FENCE.findall(PAGES[page]) if name == language]


def commands_of(block: str) -> Iterator[tuple[str, ...]]:
    """Commands of a shell block as words; what `ray job submit` submits is a command of its own."""
    for line in block.replace("\\\n", " ").splitlines():
        command: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            ends = word in ("&&", "&")
            if not ends:
                command.append(word)
            if command and (ends or (word == "--" and command[0] == "ray")):
                yield tuple(command)
                command = []


def inline_code(page: str) -> list[str]:
    """What stands in backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", PAGES[page]))


def anchors(page: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", PAGES[page]), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def links() -> list[tuple[str, str]]:
    """Page and target of every link that leads to a file of the repository."""
    found = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
    return [(page, link) for page, text in PAGES.items() for link in found.findall(text)]


def rows(page: str, header: str) -> list[list[str]]:
    """Cells of the table with this header line."""
    body = PAGES[page].split(f"\n{header}\n")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body]


def codes(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)
