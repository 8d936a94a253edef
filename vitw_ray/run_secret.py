"""The secret of a run folder: the key of all keyed hashes, and what is left once it was purged."""

import secrets
from pathlib import Path

from vitw_ray.errors import SecretLost
from vitw_ray.keys import Keyed, LostSecret
from vitw_ray.lease import LOCK, PROGRESS, RECORD
from vitw_ray.run_folder import RUN_FILE, read_run_file
from vitw_ray.storage import PRIVATE, FileStat, Storage

SECRET = f"{PRIVATE}/secret"


def load_secret(storage: Storage, secret_file: str | None) -> Keyed:
    """The secret of this output: from `--secret-file`, or made once under `private/`.

    Of a run whose `private/` was purged it is a `LostSecret`.

    Raises:
        SecretLost: the run folder was made with another secret, or with one that is gone.
    """
    run = read_run_file(storage)
    if secret_file is not None:
        try:
            secret = Path(secret_file).read_bytes().strip()
        except OSError as error:
            raise SecretLost(
                f"--secret-file {secret_file} cannot be read ({error.strerror})",
                "name a readable file",
            ) from None
        if len(secret) < 16:  # 128 bits, the least that keeps guesses out
            raise SecretLost(
                f"--secret-file {secret_file} is shorter than 16 bytes", "use 32 or more"
            )
    else:
        if not storage.exists(SECRET):
            if run is not None and not private_files(storage):
                return LostSecret(run["secret_fingerprint"])
            if run is not None:
                raise SecretLost(
                    f"{SECRET} is gone, and {RUN_FILE} says that the run was made with one",
                    "restore it, give it as --secret-file, or choose another --output; what lies"
                    f" outside {PRIVATE}/ can be used without it",
                )
            storage.create(SECRET, secrets.token_hex(32).encode())
        secret = storage.read(SECRET).strip()
    keyed = Keyed(secret)
    if run is not None and run["secret_fingerprint"] != keyed.fingerprint:
        raise SecretLost(
            f"the secret is not the one that made {RUN_FILE}",
            "give the right --secret-file, or choose another --output",
        )
    return keyed


def private_files(storage: Storage) -> list[FileStat]:
    """What lies under `private/`, the files of whoever drives the run now aside.

    A run folder with `run.json` and without any of them was purged.
    """
    return [file for file in storage.list(PRIVATE) if file.path not in (LOCK, RECORD, PROGRESS)]
