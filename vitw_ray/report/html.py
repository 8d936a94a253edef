"""The jinja2 environment of every HTML page: strict, escaped, and with the words of the package.

A page loads nothing. It has one script at most, ours, which its policy names by its hash. All text
passes `inert` and then the escaping of jinja2.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vitw_ray import reader_check, wording
from vitw_ray.inert import inert

TEMPLATES = Path(__file__).parent / "templates"


def environment(*folders: Path) -> Environment:
    """An environment with the templates of `folders`, then those of the report."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": wording.count,
        "percent": wording.percent,
        "decimal": wording.decimal,
        "signed": wording.signed,
        "ratio": wording.ratio,
        "plain": wording.plain,
        "first_up": wording.first_up,
        "facet_name": wording.facet_name,
        "facet_noun": wording.facet_noun,
        "score": reader_check.number,
        "facet_words": reader_check.facet_words,
        "set_name": reader_check.set_name,
        "sign_lines": reader_check.sign_lines,
        "matching_note": reader_check.matching_note,
    }
    made.globals["interval"] = wording.interval
    for name in ("page", "explorer", "certificate"):
        css = (TEMPLATES / f"{name}.css").read_text(encoding="utf-8")
        made.globals[f"{name}_css"] = Markup(css)
    return made


def script(*places: Path) -> tuple[Markup, Markup]:
    """A script, and the source of it that a content security policy allows.

    `places` are files, and folders of which all scripts are taken; default: that of the report.
    """
    found = places or (TEMPLATES / "script",)
    files = [f for p in found for f in (sorted(p.glob("*.js")) if p.is_dir() else [p])]
    parts = [file.read_text(encoding="utf-8") for file in files]
    text = "\n".join(["(() => {", '"use strict";', *parts, "})();"])
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), Markup(f"'sha256-{digest}'")


def _finalize(value: Any) -> Any:
    """Applied to every `{{ }}` before escaping, so that all text on the page is inert."""
    return inert(value) if isinstance(value, str) and not isinstance(value, Markup) else value
