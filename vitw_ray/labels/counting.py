"""Stage 3: `extractions` -> `labels` and `merges`.

A label counts once per conversation, however often and in however many spellings it occurs. The
first pass counts spellings, which decide the merges. The second pass counts merged labels, so that
a conversation with two spellings of a label counts once. Partial counts are integers that merge by
addition, in any order. Distinct accounts do not add, so (account, label) pairs are partitioned by
the hash of the account first. Units of work grow with the input, so that the driver adds up a
bounded number of counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.config import LabelsConfig
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.gate import may_be_shown
from vitw_ray.hash_buckets import bucket_count, write_buckets
from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.keys import id_hash
from vitw_ray.labels import groups
from vitw_ray.labels.groups import Groups
from vitw_ray.labels.normalize import merge_labels
from vitw_ray.records import LABELS, MERGES
from vitw_ray.run_folder import FileEntry, StageReport, read_part
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

Spelling = tuple[str, str]  # facet, label
COLUMNS = ("is_subjective", "account_id", *VALUE_FACETS)
MOST_UNITS = 256  # ours: the driver adds up the counts of so many units
PAIR_RUN_ROWS = 131_072  # ours: pairs that a worker holds, about 50 MB of Python objects
MOST_BUCKETS = 4096  # ours: more than needed, as a bucket has at least a twentieth of a run
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
    accounts = count_accounts(context, pairs) if with_account else None
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

    def count_parts(unit: cluster.Unit) -> tuple[Counter[Spelling], int, int, Groups]:
        counts, subjective, with_account = Counter[Spelling](), 0, 0
        columns = dict.fromkeys([*COLUMNS, *groups.COLUMNS])
        of_unit: Groups = {}
        for part in parts[unit["first"] : unit["stop"]]:
            extractions = read_part(storage, part, [*columns])
            for account, found in spellings_of(extractions, labels.min_salience):
                counts.update(found)
                subjective += 1
                with_account += account is not None
            of_unit = groups.add_groups(of_unit, groups.count_groups(extractions, labels))
        return counts, subjective, with_account, of_unit

    counts, subjective, with_account, merged = Counter[Spelling](), 0, 0, Groups()
    for found, rows, named, of_unit in cluster.stream(_units(len(parts)), count_parts):
        counts.update(found)
        subjective += rows
        with_account += named
        merged = groups.add_groups(merged, of_unit)
    return counts, subjective, with_account, merged


@dataclass
class Pairs:
    """The pairs of accounts and labels, as sorted runs; `size` is of all, in full runs."""

    storage: Storage
    folder: str
    runs: list[str] = field(default_factory=list)
    size: float = 0.0

    def write(self, pairs: set[tuple[str, str, str]]) -> None:
        """Write a run."""
        rows = [
            {"hash": id_hash(account), "account": account, "facet": f, "label": label}
            for account, f, label in pairs
        ]
        table = pa.Table.from_pylist(rows, PAIR)
        self.runs.append(write_sorted_run(self.storage, self.folder, table))
        self.size += table.num_rows / PAIR_RUN_ROWS


def _count_merged(
    context: StageContext, parts: Sequence[FileEntry], merges: dict[str, dict[str, tuple[str, str]]]
) -> tuple[Counter[Spelling], Pairs]:
    storage, shared = context.storage, [cluster.put_shared(merges)]
    min_salience = context.config.labels.min_salience
    runs = f"{PRIVATE}/{context.folder.name}/accounts"
    storage.delete_prefix(runs)

    def count_parts(unit: cluster.Unit) -> tuple[Counter[Spelling], Pairs]:
        merged = cluster.get_shared(shared[0])
        counts = Counter[Spelling]()
        written, pairs = Pairs(storage, f"{runs}/pairs"), set[tuple[str, str, str]]()
        for part in parts[unit["first"] : unit["stop"]]:
            for account, found in spellings_of(read_part(storage, part, COLUMNS), min_salience):
                labels = apply_merges(found, merged)
                counts.update(labels)
                if account is not None:
                    pairs.update((account, f, label) for f, label in labels)
            if len(pairs) >= PAIR_RUN_ROWS:
                written.write(pairs)
                pairs = set[tuple[str, str, str]]()
        if pairs:
            written.write(pairs)
        return counts, written

    counts, written = Counter[Spelling](), Pairs(storage, f"{runs}/pairs")
    for found, of_unit in cluster.stream(_units(len(parts)), count_parts):
        counts.update(found)
        written.runs += of_unit.runs
        written.size += of_unit.size
    return counts, written


def count_accounts(context: StageContext, pairs: Pairs) -> Counter[Spelling]:
    """Distinct accounts of each label; all pairs of an account lie in one bucket."""
    storage, folder = context.storage, f"{PRIVATE}/{context.folder.name}/accounts"
    count = bucket_count(len(pairs.runs), pairs.size, MOST_BUCKETS)
    buckets = write_buckets(storage, f"{folder}/buckets", pairs.runs, pairs.size, count)

    def count_buckets(unit: cluster.Unit) -> Counter[Spelling]:
        counts = Counter[Spelling]()
        for bucket in range(unit["first"], unit["stop"]):
            found = buckets.read(bucket, PAIR)
            distinct = found.group_by(["account", "facet", "label"]).aggregate([])
            names = (distinct[name].to_pylist() for name in ("facet", "label"))
            counts.update(zip(*names, strict=True))
        return counts

    counts = Counter[Spelling]()
    for found in cluster.stream(_units(count), count_buckets):
        counts.update(found)
    storage.delete_prefix(folder)
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


def _units(count: int) -> list[cluster.Unit]:
    """Units of a few parts or buckets each."""
    size = max(1, -(-count // MOST_UNITS))
    return [{"first": first, "stop": min(first + size, count)} for first in range(0, count, size)]
