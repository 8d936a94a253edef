"""How outside labels are compared with our facets: the one data file that says so."""

import json
from pathlib import Path
from typing import Any

MAPPING: dict[str, Any] = json.loads(
    Path(__file__).with_name("outside_checks.json").read_text(encoding="utf-8")
)
"""`response_groups`: response types as three groups. The others: one outside check each."""
