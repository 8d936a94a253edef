"""Stage 3: `extractions` -> `labels` and `merges`.

A label counts once per conversation, however often and in however many spellings it occurs. The
first pass counts spellings, which decide the merges. The second pass counts merged labels, so that
a conversation with two spellings of a label counts once. Partial counts are integers that merge by
addition, in any order. Distinct accounts do not add, so (account, label) pairs are partitioned by
the hash of the account first. Units of work grow with the input, so that the driver adds up a
bounded number of counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
from vitw_ray.stored_tables import one_array

Spelling = tuple[str, str]  # facet, label
Integers = NDArray[np.int64]
COLUMNS = ("is_subjective", "account_id", *VALUE_FACETS)
MOST_UNITS = 256  # ours: the driver adds up the counts of so many units
PAIR_RUN_ROWS = 131_072  # ours: pairs that a worker holds, about 20 MB
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


@dataclass(frozen=True)
class Spellings:
    """The spellings of one facet in some conversations, as distinct pairs, sorted."""

    names: list[str]
    rows: Integers  # the conversation
    codes: Integers  # its spelling

    def counts(self, facet: str) -> Counter[Spelling]:
        """Conversations of each spelling."""
        held = np.bincount(self.codes, minlength=len(self.names)).tolist()
        pairs = zip(self.names, held, strict=True)
        return Counter({(facet, name): count for name, count in pairs if count})

    def merged(self, merges: Mapping[str, tuple[str, str]]) -> "Spellings":
        """The labels that the spellings count as: two of one label are one."""
        labels = [merges.get(name, (name, ""))[0] for name in self.names]
        code_of = {label: code for code, label in enumerate(dict.fromkeys(labels))}
        codes = np.array([code_of[label] for label in labels], np.int64)
        return Spellings([*code_of], *_distinct(self.rows, codes[self.codes]))


def spellings_of(subjective: pa.Table, facet: str, min_salience: int) -> Spellings:
    """The distinct spellings of each conversation; those below `min_salience` do not count."""
    lists = one_array(subjective[facet])
    values, rows = lists.flatten(), lists.value_parent_indices().to_numpy()
    salience = values.field("salience").fill_null(min_salience).to_numpy()
    kept = salience >= min_salience
    encoded = values.field("label").dictionary_encode()
    pairs = rows[kept], encoded.indices.to_numpy()[kept]
    return Spellings(encoded.dictionary.to_pylist(), *_distinct(*pairs))


def _distinct(rows: NDArray[np.integer], codes: NDArray[np.integer]) -> tuple[Integers, Integers]:
    """Distinct pairs, sorted."""
    size = int(codes.max(initial=0)) + 1
    return np.divmod(np.unique(rows.astype(np.int64) * size + codes), size)


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
            some = extractions.filter(pc.field("is_subjective"))
            for facet in VALUE_FACETS:
                counts.update(spellings_of(some, facet, labels.min_salience).counts(facet))
            subjective += some.num_rows
            with_account += some.num_rows - some["account_id"].null_count
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

    def write(self, pairs: Sequence[pa.Table]) -> None:
        """Write a run."""
        table = pa.concat_tables(pairs).group_by(PAIR.names).aggregate([])
        self.runs.append(write_sorted_run(self.storage, self.folder, table))
        self.size += table.num_rows / PAIR_RUN_ROWS


def pairs_of(subjective: pa.Table, facet: str, found: Spellings) -> pa.Table:
    """The distinct pairs of an account and a label in some conversations."""
    accounts = subjective["account_id"].combine_chunks().dictionary_encode()
    held = accounts.indices.fill_null(-1).to_numpy()[found.rows]
    known = held >= 0
    account, code = _distinct(held[known], found.codes[known])
    names = accounts.dictionary
    hashes = np.array([id_hash(name) for name in names.to_pylist()], np.int64)
    columns = [
        pa.array(hashes[account]),
        names.take(pa.array(account)),
        pa.repeat(facet, account.size),
        pa.array(found.names, pa.string()).take(pa.array(code)),
    ]
    return pa.Table.from_arrays(columns, schema=PAIR)


def _count_merged(
    context: StageContext, parts: Sequence[FileEntry], merges: dict[str, dict[str, tuple[str, str]]]
) -> tuple[Counter[Spelling], Pairs]:
    storage, shared = context.storage, [cluster.put_shared(merges)]
    min_salience = context.config.labels.min_salience
    runs = f"{PRIVATE}/{context.folder.name}/accounts"
    storage.delete_prefix(runs)

    def count_parts(unit: cluster.Unit) -> tuple[Counter[Spelling], Pairs]:
        merged = cluster.get_shared(shared[0])
        counts, held = Counter[Spelling](), 0
        written, pairs = Pairs(storage, f"{runs}/pairs"), list[pa.Table]()
        for part in parts[unit["first"] : unit["stop"]]:
            extractions = read_part(storage, part, COLUMNS)
            some = extractions.filter(pc.field("is_subjective"))
            for facet in VALUE_FACETS if some.num_rows else ():
                found = spellings_of(some, facet, min_salience).merged(merged[facet])
                counts.update(found.counts(facet))
                pairs.append(pairs_of(some, facet, found))
                held += pairs[-1].num_rows
            if held >= PAIR_RUN_ROWS:
                written.write(pairs)
                pairs, held = list[pa.Table](), 0
        if held:
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
