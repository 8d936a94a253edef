"""Every shape is read from every container: the same conversations, whatever the file."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from container_writers import LAYOUTS, PACKINGS
from shape_writers import WRITERS
from test_shape_round_trip import read, rows_of

from vitw_ray.conversations.looking import look_at
from vitw_ray.conversations.sources import find_files, iter_rows


def columns(rows):
    return list(dict.fromkeys(name for row in rows for name in row))


def as_parquet(rows):
    """Parquet, in which a column that Arrow has no type for is JSON text."""
    table = {}
    for name in columns(rows):
        values = [row.get(name) for row in rows]
        try:
            table[name] = pa.array(values)
            pq.write_table(pa.table({name: table[name]}), io.BytesIO())
        except pa.ArrowException:
            table[name] = [None if value is None else json.dumps(value) for value in values]
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    return sink.getvalue()


def as_table(rows):
    """CSV, in which a value that is no text is JSON, and null an empty cell."""
    sink = io.StringIO()
    names = columns(rows)
    writer = csv.writer(sink)
    writer.writerow(names)
    for row in rows:
        values = [row.get(name) for name in names]
        cells = ["" if value is None else value for value in values]
        writer.writerow([v if isinstance(v, str) else json.dumps(v) for v in cells])
    return sink.getvalue().encode()


CONTAINERS = {
    **{f"lines, {name}": (LAYOUTS["lines"], pack) for name, pack in PACKINGS.items()},
    **{f"{name}, plain": (write, bytes) for name, write in LAYOUTS.items()},
    "Parquet": (as_parquet, bytes),
    "CSV": (as_table, bytes),
}


@pytest.mark.parametrize("shape", WRITERS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_conversations_of_a_shape_come_back_from_a_container(tmp_path, shape, container):
    write, pack = CONTAINERS[container]
    rows = rows_of(shape, 3)
    (tmp_path / "chats").write_bytes(pack(write(rows)))
    (file,) = find_files([str(tmp_path / "chats")])
    found, rejects = look_at(file)
    assert found is not None
    assert not rejects
    assert found.shape == shape
    came_back = read(shape, [row for _, row in iter_rows(file, shape)])
    assert list(came_back.values()) == list(read(shape, rows).values())
