"""Stage 3: `extractions` -> `labels` and `merges`.

A label counts once per conversation, however often and in however many spellings it occurs. The
first pass counts spellings, which decide the merges. The second pass counts merged labels, so that
a conversation with two spellings of a label counts once. Partial counts are integers that merge by
addition, in any order. Distinct accounts do not add, so (account, label) pairs are partitioned by
the hash of the account first.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.config import LabelsConfig
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.gate import may_be_shown
from vitw_ray.hash_runs import read_range, write_sorted_run
from vitw_ray.keys import id_hash, range_bounds
from vitw_ray.labels import groups
from vitw_ray.labels.groups import Groups
from vitw_ray.labels.normalize import merge_labels
from vitw_ray.records import LABELS, MERGES
from vitw_ray.run_folder import FileEntry, StageReport, read_part
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

Spelling = tuple[str, str]  # facet, label
COLUMNS = ("is_subjective", "account_id", *VALUE_FACETS)
PAIR = pa.schema(
    [("hash", pa.int64()), ("account", pa.string()), ("facet", pa.string()), ("label", pa.string())]
)


def count_labels(context: StageContext) -> StageReport:
    """Merge spellings, count labels, and mark those with enough support as kept."""
    parts = context.tables["extractions"].files
    spellings, subjective, with_account, found = _count_spellings(context, parts)
    merges = {
        facet: merge_labels(_of_facet(spellings, facet), context.config.labels)
        for facet in VALUE_FACETS
    }
    conversations, pairs = _count_merged(context, parts, merges)
    accounts = _count_accounts(context, pairs, len(parts)) if with_account else None
    labels = label_rows(conversations, accounts, subjective, context.config.labels)
    folder = context.folder
    files = [
        folder.write_table("labels", labels.filter(pc.field("kept"))),
        # A label with little support may come from one person.
        folder.write_table("labels", labels.filter(~pc.field("kept")), part=1, private=True),
        folder.write_table("merges", merge_rows(spellings, merges), private=True),
    ]
    return StageReport(
        files=files,
        rows_in=context.tables["extractions"].rows,
        rows_out=labels.num_rows,
        details={
            "subjective_conversations": subjective,
            "with_account": with_account,
            **groups.group_details(found, with_account > 0, context.config.labels),
            **{f"{facet}_kept": _of_support(labels, facet, True) for facet in VALUE_FACETS},
            **{f"{facet}_rare": _of_support(labels, facet, False) for facet in VALUE_FACETS},
        },
    )


def _of_support(labels: pa.Table, facet: str, kept: bool) -> int:
    """Number of labels of a facet with enough support, or without."""
    return labels.filter((pc.field("facet") == facet) & (pc.field("kept") == kept)).num_rows


def spellings_of(
    extractions: pa.Table, min_salience: int
) -> Iterator[tuple[str | None, frozenset[Spelling]]]:
    """Account and distinct spellings of each subjective conversation without error."""
    subjective = extractions.filter(pc.field("is_subjective"))
    lists = {facet: subjective[facet].to_pylist() for facet in VALUE_FACETS}
    for row, account in enumerate(subjective["account_id"].to_pylist()):
        found = frozenset(
            (f, value["label"])
            for f in VALUE_FACETS
            for value in lists[f][row]
            if value["salience"] is None or value["salience"] >= min_salience
        )
        yield account, found


def apply_merges(
    spellings: Iterable[Spelling], merges: Mapping[str, Mapping[str, tuple[str, str]]]
) -> frozenset[Spelling]:
    """The distinct labels that a conversation's spellings count as."""
    return frozenset((f, merges[f].get(label, (label, ""))[0]) for f, label in spellings)


def _count_spellings(
    context: StageContext, parts: Sequence[FileEntry]
) -> tuple[Counter[Spelling], int, int, Groups]:
    storage, labels = context.storage, context.config.labels

    def count_part(unit: cluster.Unit) -> tuple[Counter[Spelling], int, int, Groups]:
        counts, subjective, with_account = Counter[Spelling](), 0, 0
        columns = dict.fromkeys([*COLUMNS, *groups.COLUMNS])
        extractions = read_part(storage, parts[unit["part"]], [*columns])
        for account, found in spellings_of(extractions, labels.min_salience):
            counts.update(found)
            subjective += 1
            with_account += account is not None
        return counts, subjective, with_account, groups.count_groups(extractions, labels)

    counts, subjective, with_account, merged = Counter[Spelling](), 0, 0, Groups()
    for found, rows, named, of_part in cluster.stream(_units(parts), count_part):
        counts.update(found)
        subjective += rows
        with_account += named
        merged = groups.add_groups(merged, of_part)
    return counts, subjective, with_account, merged


def _count_merged(
    context: StageContext, parts: Sequence[FileEntry], merges: dict[str, dict[str, tuple[str, str]]]
) -> tuple[Counter[Spelling], list[str]]:
    storage, shared = context.storage, [cluster.put_shared(merges)]
    min_salience = context.config.labels.min_salience
    runs = f"{PRIVATE}/{context.folder.name}/accounts"
    storage.delete_prefix(runs)

    def count_part(unit: cluster.Unit) -> tuple[Counter[Spelling], str]:
        merged = cluster.get_shared(shared[0])
        counts = Counter[Spelling]()
        pairs: set[tuple[str, str, str]] = set()
        extractions = read_part(storage, parts[unit["part"]], COLUMNS)
        for account, found in spellings_of(extractions, min_salience):
            labels = apply_merges(found, merged)
            counts.update(labels)
            if account is not None:
                pairs.update((account, f, label) for f, label in labels)
        return counts, _write_pairs(storage, runs, pairs) if pairs else ""

    counts, written = Counter[Spelling](), []
    for found, run in cluster.stream(_units(parts), count_part):
        counts.update(found)
        written += [run] if run else []
    return counts, sorted(written)


def _write_pairs(storage: Storage, folder: str, pairs: set[tuple[str, str, str]]) -> str:
    rows = [
        {"hash": id_hash(account), "account": account, "facet": f, "label": label}
        for account, f, label in pairs
    ]
    return write_sorted_run(storage, folder, pa.Table.from_pylist(rows, PAIR))


def _count_accounts(context: StageContext, runs: list[str], ranges: int) -> Counter[Spelling]:
    """Distinct accounts of each label; all pairs of an account lie in one hash range."""
    storage = context.storage

    def count_range(unit: cluster.Unit) -> Counter[Spelling]:
        pairs = read_range(storage, runs, range_bounds(unit["range"], ranges), PAIR)
        distinct = pairs.group_by(["account", "facet", "label"]).aggregate([])
        return Counter(
            zip(distinct["facet"].to_pylist(), distinct["label"].to_pylist(), strict=True)
        )

    counts = Counter[Spelling]()
    for found in cluster.stream([{"range": n} for n in range(ranges)], count_range):
        counts.update(found)
    storage.delete_prefix(f"{PRIVATE}/{context.folder.name}/accounts")
    return counts


def label_rows(
    conversations: Mapping[Spelling, int],
    accounts: Mapping[Spelling, int] | None,
    subjective: int,
    config: LabelsConfig,
) -> pa.Table:
    """Rows of `labels`, the most common first. `accounts` is None if no row has an account."""
    rows = []
    for (facet, label), n in sorted(conversations.items(), key=lambda i: (i[0][0], -i[1], i[0][1])):
        known = accounts.get((facet, label), 0) if accounts is not None else None
        rows.append(
            {
                "facet": facet,
                "label": label,
                "conversations": n,
                "accounts": known,
                "share": n / subjective,
                "kept": bool(may_be_shown(n, known, config)),
            }
        )
    return pa.Table.from_pylist(rows, LABELS)


def merge_rows(
    spellings: Mapping[Spelling, int], merges: Mapping[str, Mapping[str, tuple[str, str]]]
) -> pa.Table:
    """Rows of `merges`, sorted."""
    rows: list[dict[str, Any]] = [
        {
            "facet": facet,
            "variant": variant,
            "label": label,
            "rule": rule,
            "conversations": spellings[facet, variant],
        }
        for facet in VALUE_FACETS
        for variant, (label, rule) in sorted(merges[facet].items())
    ]
    return pa.Table.from_pylist(rows, MERGES)


def _of_facet(counts: Mapping[Spelling, int], facet: str) -> dict[str, int]:
    return {label: n for (f, label), n in counts.items() if f == facet}


def _units(parts: Sequence[FileEntry]) -> list[cluster.Unit]:
    return [{"part": number} for number in range(len(parts))]
