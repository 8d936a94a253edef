"""The release's README.md: a data set card with the content, sources and limits of the tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vitw_ray import reader_check
from vitw_ray.config import LabelsConfig, ReleaseConfig
from vitw_ray.facts import RunFacts
from vitw_ray.inert import inert
from vitw_ray.paper import support_is_lowered
from vitw_ray.release.tables import ReleaseTable
from vitw_ray.wording import count

TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN = str.maketrans(
    {mark: f"\\{mark}" for mark in "\\`*_{}[]#|!~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def render(
    run: RunFacts,
    labels: LabelsConfig,
    release: ReleaseConfig,
    frequencies: ReleaseTable,
    tree: ReleaseTable,
) -> str:
    """Markdown with YAML front matter: the same text for the same arguments.

    Args:
        run: Sources, reader and counts of the run; the card states if the reader is a baseline.
        labels: The support thresholds that every released value passed.
        release: Title and licence.
        frequencies: What `values_frequencies` returned.
        tree: What `values_tree` returned.
    """
    return (
        _environment()
        .get_template("card.md")
        .render(
            release_name=release.release_name,
            license_id=release.release_license.lower(),
            reader=run.reader,
            screen=run.screen,
            baseline=run.baseline,
            made_up=run.made_up,
            has_model=run.has_model,
            check=run.check,
            totals=run.totals,
            sources=run.sources,
            versions=run.versions,
            min_conversations=labels.min_conversations,
            min_accounts=labels.min_accounts,
            lowered=support_is_lowered(labels.min_conversations, labels.min_accounts),
            frequencies=frequencies,
            tree=tree,
        )
    )


def render_release(about: Mapping[str, Any]) -> str:
    """The card of a release of either kind, from what its `release.json` says."""
    return _environment().get_template("release.md").render(about=about)


def _environment() -> Environment:
    # no HTML autoescape: the two filters escape Markdown and YAML
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "text": _text,
        "yaml": _yaml,
        "count": count,
        "plain": _plain,
        "score": reader_check.number,
        "facet_words": reader_check.facet_words,
        "set_name": reader_check.set_name,
        "sign_lines": reader_check.sign_lines,
        "matching_note": reader_check.matching_note,
    }
    return environment


def _text(text: str) -> str:
    """Escaped for Markdown, on one line, also valid in a table cell."""
    return inert(text).translate(_MARKDOWN)


def _yaml(text: str) -> str:
    """Text as a quoted YAML scalar; every JSON string is one."""
    return json.dumps(inert(text))


def _plain(value: float | str | None) -> str:
    """A setting without exponent, which YAML would take for text."""
    if isinstance(value, float):
        return np.format_float_positional(value, trim="-")
    return "-" if value is None else str(value)
