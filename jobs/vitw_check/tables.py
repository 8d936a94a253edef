"""The columns of every table, and which of them may be public."""

import re

from .expected import PRIVATE_COLUMNS, PRIVATE_TABLES, SCHEMAS, column
from .problems import Note, Problems, at, purged
from .recounting import CheckedRun

ID_CHARS = 12  # ours: shorter ids may be ordinary words or numbers, and are not searched for


def check_schemas(run: CheckedRun) -> Problems:
    """Every part of every table has the documented columns, types and nulls."""
    gone = 0
    for entry in (entry for entry in run.entries() if entry["table"] in SCHEMAS):
        if run.is_gone(entry):
            gone += 1
            continue
        found = [column(field) for field in run.schema(entry["path"])]
        wanted = SCHEMAS[entry["table"]].split("; ")
        if found != wanted:
            names = sorted({text.split()[0] for text in set(found) ^ set(wanted)})
            yield f"{entry['path']}: differs in {names or 'the order of columns'}"
    yield from purged(gone)


def check_private(run: CheckedRun) -> Problems:
    """What is about one conversation lies under private/, and no public file names one."""
    public: set[str] = set()
    for entry in run.entries():
        path, table = entry["path"], entry["table"]
        if path.startswith("private/"):
            continue
        if table in PRIVATE_TABLES:
            yield f"{path}: belongs under private/"
        if path.endswith(".parquet"):
            names = run.schema(path).names
            for row in run.part(path):
                public.update(value for value in row.values() if isinstance(value, str))
                if table == "labels" and not row["kept"]:
                    yield f"{path}: publishes a label without enough support"
        else:
            text = run.fs.cat_file(f"{run.root}/{path}").decode()
            names = text.split("\n", 1)[0].split(",") if path.endswith(".csv") else []
            public.update(re.findall(r"[^\s\"'<>,;=()&]+", text))
        for name in PRIVATE_COLUMNS & set(names):
            yield f"{path}: has the column {name}"
    if run.purged:
        yield Note("private/ was purged: public files are not searched for ids of conversations")
        return
    for row in run.rows("conversations", ("conversation_id", "prompt_id", "account_id")):
        for name, value in row.items():
            if value in public and len(value) >= ID_CHARS:
                yield f"a public file holds the {name} of {at(row)}"
