"""What the releases of one run folder have spent together: `private/releases/ledger.json`.

All releases of a run folder are taken to be of overlapping data, whatever they were made from: the
folder keeps its secret, so its accounts are the same. Their epsilons and deltas add up. A strict
guarantee says nothing about a threshold release of the same data, so one folder has one kind only.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vitw_ray.errors import ConfigError
from vitw_ray.release.settings import Kind, ReleaseSettings, StrictSettings, kind_of
from vitw_ray.run_folder import pretty_json
from vitw_ray.storage import PRIVATE, Storage

FOLDER = f"{PRIVATE}/releases"
PATH = f"{FOLDER}/ledger.json"


@dataclass(frozen=True)
class Spent:
    """One release: its number, kind and key (of data and settings), and its cost."""

    number: int
    kind: Kind
    key: str
    epsilon: float
    delta: float


def read_ledger(storage: Storage) -> list[Spent]:
    """The releases of a run folder so far."""
    if not storage.exists(PATH):
        return []
    return [Spent(**entry) for entry in json.loads(storage.read(PATH))["releases"]]


def totals(entries: list[Spent]) -> Mapping[str, float]:
    """What the releases have spent together."""
    return {
        "epsilon": sum(entry.epsilon for entry in entries),
        "delta": sum(entry.delta for entry in entries),
    }


def spend(
    storage: Storage, key: str, settings: ReleaseSettings, budget_epsilon: float | None, again: bool
) -> Spent:
    """Enter a release, or find it entered: the same data and settings are the same release.

    Args:
        storage: of the run folder, which nobody else writes to.
        key: of its data and settings.
        settings: of the release.
        budget_epsilon: most that all strict releases may spend; default: one release.
        again: a further threshold release is wanted, although the two can be compared.

    Raises:
        ConfigError: the release would spend more than the budget, or is of the other kind.
    """
    entries, kind = read_ledger(storage), kind_of(settings)
    for entry in entries:
        if entry.key == key:
            return entry
    refuse_second(entries, settings, budget_epsilon, again)
    costs = (0.0, 0.0)
    if isinstance(settings, StrictSettings):
        costs = (settings.epsilon, settings.delta)
    entry = Spent(len(entries) + 1, kind, key, *costs)
    content: dict[str, Any] = {"releases": [asdict(one) for one in [*entries, entry]]}
    storage.write(PATH, pretty_json(content))
    return entry


def refuse_second(
    entries: list[Spent], settings: ReleaseSettings, budget_epsilon: float | None, again: bool
) -> None:
    """Refuse a release that earlier ones leave no room for.

    Raises:
        ConfigError: see `spend`.
    """
    kind = kind_of(settings)
    if any(entry.kind != kind for entry in entries):
        raise ConfigError(
            f"--kind {kind}: this run folder has a release of the other kind, and the guarantee of"
            " a strict release does not cover it",
            f"keep to --kind {entries[0].kind} in this folder",
        )
    if not isinstance(settings, StrictSettings):
        if entries and not again:
            raise ConfigError(
                "this run folder has a threshold release of other data or settings; the difference"
                " of the two may show single conversations",
                "publish one of them only; --again publishes both",
            )
        return
    spent = totals(entries)["epsilon"]
    budget = settings.epsilon if budget_epsilon is None else budget_epsilon
    if spent + settings.epsilon <= budget * (1 + 1e-9):
        return
    allowed = f"the budget is {budget:g}"
    if budget_epsilon is None:
        allowed = "without --budget-epsilon there is one release only"
    raise ConfigError(
        f"--epsilon {settings.epsilon:g}: releases of this run folder have spent {spent:g} before,"
        f" and {allowed}",
        f"--budget-epsilon {spent + settings.epsilon:g} allows it; all releases together then"
        " protect an account by that much only",
    )
