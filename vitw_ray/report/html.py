"""How every HTML page is made: in one frame, strict, escaped, and with the words of the package.

A page loads nothing. It has one script at most, ours, which its policy names by its hash. All text
passes `inert` and then the escaping of jinja2.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vitw_ray import reader_check, wording
from vitw_ray.inert import inert

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = TEMPLATES / "script"


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


def scripted_page(
    made: Environment, template: str, shown: Mapping[str, Any], data: str, *scripts: Path
) -> str:
    """A page with a script.

    Args:
        made: what `environment` returned.
        template: its name; it extends `frame.html`.
        shown: what the template shows.
        data: JSON for the script, which cannot leave its element.
        scripts: files, and folders of which all scripts are taken.
    """
    code, source = _script(scripts)
    shown = {**shown, "script": code, "script_source": source, "data": Markup(data)}
    return made.get_template(template).render(shown)


def _script(places: tuple[Path, ...]) -> tuple[Markup, Markup]:
    """A script, and the source of it that a content security policy allows."""
    files = [f for p in places for f in (sorted(p.glob("*.js")) if p.is_dir() else [p])]
    parts = [file.read_text(encoding="utf-8") for file in files]
    text = "\n".join(["(() => {", '"use strict";', *parts, "})();"])
    return Markup(text), policy_source(text)


def policy_source(text: str) -> Markup:
    """A script or style sheet as a content security policy names it."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(f"'sha256-{digest}'")


def _finalize(value: Any) -> Any:
    """Applied to every `{{ }}` before escaping, so that all text on the page is inert."""
    return inert(value) if isinstance(value, str) and not isinstance(value, Markup) else value
