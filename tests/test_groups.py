"""Assistants, data sets and days of few are one group, and nobody's name."""

from datetime import UTC, datetime

import pyarrow as pa

from vitw_ray.config import LabelsConfig
from vitw_ray.labels.groups import add_groups, count_groups, group_details

THRESHOLDS = LabelsConfig(min_conversations=3, min_accounts=2)


def part(*rows):
    """Rows of (account, assistant, data set, day of May); a large one is cut, and in English."""
    columns = zip(*rows, strict=True)
    account, model, source, day = (list(column) for column in columns)
    moments = [None if d is None else datetime(2025, 5, d, tzinfo=UTC) for d in day]
    return pa.table(
        {
            "account_id": pa.array(account, pa.string()),
            "model": pa.array(model, pa.string()),
            "source": pa.array(source, pa.string()),
            "language": ["en" if one == "large" else "de" for one in model],
            "truncated_share": [0.5 * (one == "large") for one in model],
            "created_at": pa.array(moments, pa.timestamp("us", tz="UTC")),
        }
    )


COMMON = [(f"account {n % 3}", "large", "web", 10 + n % 2) for n in range(8)]


def details(*rows, known=True):
    half = len(rows) // 2
    counted = [count_groups(part(*some), THRESHOLDS) for some in (rows[:half], rows[half:])]
    return group_details(add_groups(*counted), known, THRESHOLDS)


def test_an_assistant_of_one_account_is_counted_as_other():
    own = [("one", "her secret assistant", "web", 10)] * 5
    rare = [("two", "another", "web", 11), ("three", "a third", "web", 11)] * 2
    found = details(*COMMON, *own, *rare)
    assert found["models"] == {"large": 8, "other": 9}
    assert found["sources"] == {"web": 17}


def test_languages_and_cut_conversations_of_few_are_others():
    small = [(f"account {n}", "small", "web", 10) for n in range(3)]
    found = details(*COMMON, *small)
    assert found["languages"] == {"en": 8, "de": 3}
    assert found["transcripts"] == {"cut": 8, "whole": 3}
    found = details(*COMMON, *small[:1])
    assert found["languages"] == {"other": 9}
    assert found["transcripts"] == {"other": 9}


def test_all_others_pass_together_or_take_the_smallest_with_them():
    found = details(*COMMON, *COMMON[:4], ("one", "secret", "web", 10))
    assert found["models"] == {"other": 13}  # one conversation would stand alone as `other`
    small = [(f"account {n}", "small", "web", 10) for n in range(3)]
    found = details(*COMMON, *small, ("one", "secret", "web", 10))
    assert found["models"] == {"large": 8, "other": 4}


def test_where_no_account_is_known_conversations_decide():
    rows = [(None, model, source, day) for _, model, source, day in COMMON]
    assert details(*rows, known=False)["models"] == {"large": 8}


def test_the_first_and_the_last_day_are_days_of_several():
    found = details(*COMMON, ("one", "large", "web", 1), ("two", "large", "web", 30))
    assert found["days"] == ["2025-05-10", "2025-05-11"]
    assert details(*[(a, m, s, None) for a, m, s, _ in COMMON])["days"] == []
