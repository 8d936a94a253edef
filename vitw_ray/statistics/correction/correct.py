"""The correction within stage 5: the reviewed rows are collected, then the table is computed."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.gate import Support
from vitw_ray.records import MODEL_COMPARISON
from vitw_ray.statistics.assistants import compare
from vitw_ray.statistics.block import coded, period_name
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.compared_groups import Groups, groups_of_assistants, hidden_labels
from vitw_ray.statistics.correction.answers import REVIEWED_COLUMNS, Answers
from vitw_ray.statistics.correction.corrected import Evidence
from vitw_ray.statistics.correction.groups import Grouped, Labels, grouped, labels_of
from vitw_ray.statistics.correction.rows import Correction
from vitw_ray.statistics.correction.table import corrected_table
from vitw_ray.statistics.partials import accounts_of

MOST_GROUPS = 6  # ours: assistants or languages with most reviewed conversations; 15 pairs


def reviewed_rows(part: pa.Table, ids: Collection[str]) -> pa.Table:
    """The rows of a part of `extractions` that people have reviewed."""
    return part.select(REVIEWED_COLUMNS).filter(pc.field("conversation_id").isin(list(ids)))


def correct(
    answers: Answers,
    counts: Mapping[str, Any],
    public: Mapping[str, pa.Table],
    conversations: int,
    codes: Codebook,
) -> pa.Table:
    """The table `corrected`.

    Args:
        answers: the reviewed rows.
        counts: of the run, by name.
        public: the other tables of the stage.
        conversations: of the run, subjective or not.
        codes: with the languages that were counted.
    """
    least = Evidence.of(codes.thresholds)
    correction = Correction(answers, counts, labels_of(answers), least, conversations)
    comparisons = [(_assistants(answers, counts, codes), public["model_comparison"])]
    if codes.languages:
        comparisons.append(_languages(answers, counts, codes, correction.labels))
    return corrected_table(correction, public, comparisons, _periods(answers, counts, codes))


def _assistants(answers: Answers, counts: Mapping[str, Any], codes: Codebook) -> Grouped:
    strata = len(codes.tasks) + 1
    groups = groups_of_assistants(counts["models: types"].columns, strata, codes.models)
    named = {code: groups.names[code] for pair in groups.pairs for code in pair}
    return grouped("models", answers.reader.model, named, strata, answers, MOST_GROUPS)


def languages_of(answers: Answers, least: Evidence) -> list[str]:
    """Languages that are worth counting: with enough reviewed conversations."""
    names = Counter(answers.reader.table["language"].to_pylist()).most_common()
    enough = [name for name, n in names if name is not None and n >= 2 * least.rows]
    return sorted(enough[:MOST_GROUPS])


def _languages(
    answers: Answers, counts: Mapping[str, Any], codes: Codebook, labels: Sequence[Labels]
) -> tuple[Grouped, pa.Table]:
    """Languages that may be shown, and the raw comparison of them."""
    support: Support[str] = counts["language support"]
    shown = support.shown(any(support.accounts.values()), codes.thresholds)
    named = {code: name for code, name in enumerate(codes.languages) if name in shown}
    facet = coded(answers.reader.table["language"], codes.languages)
    groups = Groups("languages", named, list(combinations(named, 2)))
    least = codes.thresholds.min_conversations
    tables = [MODEL_COMPARISON.empty_table()]
    for one in labels:
        of_label = counts[f"languages: {one.name}"]
        exclusive = one.name == "types"
        people = counts.get(accounts_of(f"languages: {one.name}"))
        hidden = hidden_labels(of_label, 1, groups, one.axis, least, people, exclusive=exclusive)
        tables.append(compare(of_label, 1, groups, one.axis, least, hidden))
    return grouped("languages", facet, named, 1, answers, MOST_GROUPS), pa.concat_tables(tables)


def _periods(answers: Answers, counts: Mapping[str, Any], codes: Codebook) -> Grouped:
    support: Support[int] = counts["period support"]
    shown = support.shown(any(support.accounts.values()), codes.thresholds)
    named = {code: period_name(code, codes.period) for code in shown}
    return grouped("periods", answers.reader.period, named, len(codes.tasks) + 1, answers)
