"""A run with a reviewed sample: the table, the page, and what the checker says of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.ray


def test_the_run_has_corrected_shares_of_what_people_found_often(sample_run):
    rows = sample_run.table("corrected").arrow.to_pylist()
    told = [row for row in rows if row["reason"] is None]
    assert {"subjectivity", "response_types", "ai_values"} <= {row["facet"] for row in told}
    assert all(row["low"] <= row["corrected"] <= row["high"] for row in told)
    assert all(row["corrected"] is None for row in rows if row["reason"] is not None)


def test_the_page_shows_them_and_names_no_conversation(sample_run):
    page = (Path(sample_run.address) / "report.html").read_text()
    assert '<section id="corrected">' in page
    assert "planted-0-" not in page


def test_the_manifest_counts_the_reviewed_rows(sample_run):
    (manifest,) = Path(sample_run.address).glob("5_statistics-*/_SUCCESS.json")
    details = json.loads(manifest.read_text())["details"]
    assert details["reviewed"] == 200
    assert details["reviewed_not_in_run"] == 0


def test_the_checker_counts_the_raw_shares_again(sample_run):
    command = [sys.executable, str(ROOT / "jobs" / "check.py"), sample_run.address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "ok" in next(line for line in done.stdout.splitlines() if "corrected" in line)
