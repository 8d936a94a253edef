"""Merges and labels, counted again from the extractions."""

import zlib
from collections import Counter, defaultdict

from .expected import LABEL, VALUE_FACETS
from .problems import Problems, near, off, purged
from .recounting import CheckedRun

ACCOUNT_PASS_ROWS = 1_000_000  # ours: conversations whose accounts are held at a time


def check_merges(run: CheckedRun) -> Problems:
    """A variant has one label, which is nobody's variant; its conversations are recounted."""
    counted = Counter[tuple[str, str]]()
    for row in run.subjective():
        counted.update((f, label) for f in VALUE_FACETS for label in row["written"][f])
    rows = list(run.rows("merges"))
    if len(rows) > len(run.merged):
        yield f"{len(rows) - len(run.merged)} variants stand twice"
    for number, row in enumerate(rows):
        variant, target = (row["facet"], row["variant"]), (row["facet"], row["label"])
        if target in run.merged:
            yield f"row {number}: the label is itself merged"
        yield from off(f"row {number}: conversations", row["conversations"], counted[variant])


def check_labels(run: CheckedRun) -> Problems:
    """Every label's conversations and share, recounted from the extractions and the merges."""
    counted, total = Counter[tuple[str, str]](), 0
    for row in run.subjective():
        total += 1
        counted.update((f, label) for f in VALUE_FACETS for label in row["values"][f])
    for number, row in enumerate(run.labels):
        name = (row["facet"], row["label"])
        yield from off(f"row {number}: conversations", row["conversations"], counted.pop(name, 0))
        if total and not near(row["share"], row["conversations"] / total):
            yield f"row {number}: share {row['share']} of {total}"
        if row["kept"] and not LABEL.fullmatch(row["label"]):
            yield f"row {number}: a label outside its alphabet"
    for facet, missing in Counter(facet for facet, _ in counted).items():
        yield f"{facet}: {missing} labels of the extractions are not in the table, or stand twice"


def check_accounts(run: CheckedRun) -> Problems:
    """The distinct accounts of every label, recounted."""
    passes = 1 + run.manifests["extractions"]["rows_out"] // ACCOUNT_PASS_ROWS
    counted, known = Counter[tuple[str, str]](), False
    for this in range(passes):
        accounts: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in run.subjective():
            account = row["account_id"]
            if account is not None and zlib.crc32(account.encode()) % passes == this:
                known = True
                for facet in VALUE_FACETS:
                    for label in row["values"][facet]:
                        accounts[facet, label].add(account)
        counted.update({name: len(found) for name, found in accounts.items()})
    for number, row in enumerate(run.labels):
        expected = counted[row["facet"], row["label"]] if known else None
        yield from off(f"row {number}: accounts", row["accounts"], expected)


def check_kept(run: CheckedRun) -> Problems:
    """A label is kept when it has the conversations, and the accounts where they are known."""
    conversations = run.setting("labels", "min_conversations")
    accounts = run.setting("labels", "min_accounts")
    for number, row in enumerate(run.labels):
        enough = row["accounts"] is None or row["accounts"] >= accounts
        if row["kept"] is not (row["conversations"] >= conversations and enough):
            yield f"row {number}: kept {row['kept']}"
    yield from purged(sum(run.is_gone(entry) for entry in run.entries("labels")))
