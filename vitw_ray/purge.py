"""Purging: what a run holds of single conversations is deleted, and its aggregates stay.

`private/` holds all of it: conversations, answers, extractions, vectors and the secret. A purged
run is still a finished run; what cannot be made again without those files is refused before it
starts.
"""

from collections.abc import Callable, Sequence

from vitw_ray.errors import OutputError
from vitw_ray.finished_run import read_record
from vitw_ray.keys import LostSecret
from vitw_ray.lease import acquire
from vitw_ray.run_secret import private_files
from vitw_ray.stages import Stage, StageContext
from vitw_ray.storage import PRIVATE, FileStat, Storage


def purge(storage: Storage, agreed: Callable[[Sequence[FileStat]], bool]) -> list[FileStat]:
    """Delete `private/` of a run that nobody works on.

    Args:
        storage: of the run folder.
        agreed: asked whether these files may go, while no other run can start.

    Returns:
        What was deleted; nothing when nothing was there, or it was not agreed to.

    Raises:
        OutputError: this is no run folder, or its files cannot be deleted.
        RunLocked: a run is going on in it.
    """
    read_record(storage)
    if not private_files(storage):
        return []
    with acquire(storage) as lease:
        files = private_files(storage)
        if not agreed(files):
            return []
        lease.check()
        for path in dict.fromkeys("/".join(file.path.split("/")[:2]) for file in files):
            _delete(storage, path, is_file=any(file.path == path for file in files))
        storage.delete_prefix(PRIVATE)  # and with it the lease, when nothing else is left
    return files


def _delete(storage: Storage, path: str, *, is_file: bool) -> None:
    if is_file:
        storage.delete(path)
    else:
        storage.delete_prefix(path)


def refuse_after_purge(stage: Stage, context: StageContext) -> None:
    """Refuse a stage that needs private files which are gone, before it starts.

    Raises:
        SecretLost: it makes keyed hashes, and the secret was purged.
        OutputError: a table that it reads is gone.
    """
    if not stage.reads_private:
        return
    storage, tables = context.storage, context.tables
    firsts = {name: next(iter(tables[name].private.files), None) for name in stage.reads}
    gone = [name for name, file in firsts.items() if file and not storage.exists(file.path)]
    if gone:
        if private_files(storage) and not isinstance(context.keyed, LostSecret):
            return  # not purged: what is gone is made again
        raise OutputError(
            f"the stage {stage.name} needs {', '.join(gone)}, and {PRIVATE}/ was purged",
            f"choose another --output, or restore {PRIVATE}/; vitw report needs none of it",
        )
    if not stage.reads and isinstance(context.keyed, LostSecret):
        raise context.keyed.error()
