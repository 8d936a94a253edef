"""What a manifest says of a frozen tree, in words: what is unplaced, and the drift alarm."""

from collections.abc import Iterator, Mapping
from typing import Any

from vitw_ray.wording import count, facet_name, first_up, percent


def frozen_lines(frozen: Mapping[str, Any] | None) -> list[str]:
    """Sentences for people; none where no tree is frozen."""
    if not frozen:
        return []
    return [
        line for facet, said in sorted(frozen["facets"].items()) for line in _placed(facet, said)
    ] + [
        line
        for facet, said in sorted(frozen.get("drift", {}).items())
        for line in _drift(facet, said)
    ]


def _placed(facet: str, said: Mapping[str, Any] | None) -> Iterator[str]:
    if said is None:
        return
    share, known = said["unplaced_share"], f"{first_up(facet_name(facet))} are in known clusters"
    if share == 0:
        yield known
    elif share is None:
        yield f"{known}, but for too few mentions to be counted here"
    else:
        mentions = count(said["unplaced"]["mentions"])
        yield f"{known}, but for {percent(share)} of mentions ({mentions}), which are in none"


def _drift(facet: str, said: Mapping[str, Any]) -> Iterator[str]:
    name, accounts = first_up(facet_name(facet)), count(said["accounts"])
    evidence = f"evidence {said['e_value']:,.3g}, alarm from {said['alarm_from']:g}"
    if not said["alarm"]:
        yield f"{name}: no drift found in {accounts} accounts ({evidence})"
        return
    first = said["first_crossed"]
    month = f", in {first['month']}" if first["month"] else ""
    yield (
        f"{name}: drift since the tree was frozen ({evidence}), first after"
        f" {count(first['accounts'])} accounts{month}"
    )
    unknown = said["unknown"]
    if unknown["moved"]:
        yield f"{name}: the share that the tree does not know rose {_change(unknown)}"
    for one in said["moved"]:
        yield f"{name}: the share of {one['name']} went {_change(one)}"
    if hidden := said["moved_and_not_shown"]:
        clusters = "one cluster" if hidden == 1 else f"{count(hidden)} clusters"
        yield f"{name}: {clusters} moved with too little support to be shown"


def _change(one: Mapping[str, Any]) -> str:
    return f"from {percent(one['before'])} to {percent(one['now'])}"
