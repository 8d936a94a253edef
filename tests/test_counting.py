"""Labels in one block of extractions: which values count, each once per conversation."""

import pyarrow as pa
import pytest

from vitw_ray.config import LabelsConfig
from vitw_ray.errors import ConfigError
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.labels.counting import spellings_of
from vitw_ray.records import EXTRACTIONS


def extractions(values) -> pa.Table:
    row = {
        "conversation_id": "c",
        "source": "test",
        "extractor": "test",
        "is_subjective": True,
        **{facet: [] for facet in VALUE_FACETS},
        "ai_values": [
            {"label": label, "explicit": True, "salience": salience} for label, salience in values
        ],
        "prompt_tokens": 0,
        "output_tokens": 0,
        "truncated_share": 0.0,
    }
    return pa.Table.from_pylist([row, row | {"is_subjective": False}], EXTRACTIONS)


def labels(values, min_salience) -> set[str]:
    ((_, found),) = spellings_of(extractions(values), min_salience)
    return {label for _, label in found}


def test_values_below_the_minimum_salience_do_not_count_and_those_without_salience_do():
    values = [("care", 2), ("clarity", 3), ("honesty", None)]
    assert labels(values, 1) == {"care", "clarity", "honesty"}
    assert labels(values, 3) == {"clarity", "honesty"}
    assert labels(values, 5) == {"honesty"}


def test_a_value_counts_if_one_of_its_mentions_is_salient_enough():
    assert labels([("care", 1), ("care", 4)], 3) == {"care"}


@pytest.mark.parametrize("min_salience", [0, 6])
def test_a_salience_off_the_scale_is_refused_by_field_name(min_salience):
    with pytest.raises(ConfigError, match="--min-salience"):
        LabelsConfig(min_salience=min_salience)
