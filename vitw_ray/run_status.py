"""How far a run is, from its folder alone: for a run at work, killed, finished or damaged.

Manifests say what is finished, `private/progress.json` what the driver is doing, and the names of
committed answers how many there are. Nothing else is opened, so that no text can be shown.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitw_ray.errors import OutputError
from vitw_ray.lease import PROGRESS
from vitw_ray.run_folder import RUN_FILE, SUCCESS
from vitw_ray.storage import PRIVATE, Storage

SILENT_S = 60.0  # ours: six times as long as the driver waits between two reports
WINDOW_S = 300.0  # ours: rates are over the last five minutes
SHORTEST_S = 1.0  # ours: of a stage whose time was foreseen
_STAGE_FOLDER = re.compile(r"(\d)_([a-z]+)-([0-9a-f]{16})")
_ANSWERS = re.compile(r".*/e\d{8}-(\d{13})-[0-9a-f-]*?-(\d+)(?:-[0-9a-f]{8})?\.parquet")


@dataclass(frozen=True)
class StageStatus:
    """One stage.

    Attributes:
        number: of the stage.
        name: of the stage.
        folder: its folder, where that is known.
        state: `done`, `running`, `failed`, `to do` or `damaged`.
        manifest: what it says of itself when it is done.
        damage: files that are gone, or of another size than was written.
    """

    number: int
    name: str
    folder: str
    state: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    damage: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunStatus:
    """A run.

    Attributes:
        address: of its folder.
        state: `running`, `finished`, `failed`, `stopped`, `silent` (killed, or cut off), or
            `unknown` where no driver has left a word.
        error: why it failed.
        driver: host, process and start of the driver, and the seconds since its last word.
        stages: in order.
        part: what is under way: name, rows done, of how many, failed.
        rate: rows a second over the last five minutes; None: not known.
        left_s: seconds to the end of that part at this rate.
        answers: that are committed, and how many of them in the last five minutes.
        tokens: read and written by the model, in this run.
        cost: of these tokens, at the prices that were given.
        purged: whether `private/` is gone.
    """

    address: str
    state: str
    error: str | None
    driver: Mapping[str, Any]
    stages: tuple[StageStatus, ...]
    part: Mapping[str, Any] | None
    rate: float | None
    left_s: float | None
    answers: Mapping[str, int]
    tokens: Mapping[str, int]
    cost: float | None
    purged: bool
    forecast: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    """What -> as foreseen, and as it was; None: the stage is not done."""


def read_status(
    storage: Storage, prices: tuple[float, float] | None = None, now: float | None = None
) -> RunStatus:
    """Read a run folder.

    Args:
        storage: of the run folder.
        prices: of a million tokens that the model reads, and writes.
        now: seconds since 1970; default: the time.

    Raises:
        OutputError: no run has worked there.
    """
    now = time.time() if now is None else now
    told = _json(storage, PROGRESS) or {}
    record = _json(storage, RUN_FILE)
    stages = _stages(storage, told, record)
    if not stages and not told:
        raise OutputError(
            f"{storage.root} holds no run", "give the --output of a run, as an absolute address"
        )
    state = told.get("state") or ("finished" if record else "unknown")
    silent = now - told.get("updated", now)
    if state == "running" and silent > SILENT_S:
        state = "silent"
    part = told.get("part") if state == "running" else None
    rate = _rate(told.get("samples", ())) if part else None
    left = None
    if part and rate and part.get("total"):
        left = max(0, part["total"] - part["done"]) / rate
    tokens = _tokens(stages, told)
    driver = {name: told[name] for name in ("host", "pid", "since") if name in told}
    cost = None
    if prices is not None:
        per_token = zip(("prompt_tokens", "output_tokens"), prices, strict=True)
        cost = sum(tokens.get(name, 0) * price / 1e6 for name, price in per_token)
    return RunStatus(
        address=storage.root,
        state=state,
        error=told.get("error"),
        driver={**driver, "silent_s": round(silent, 1)} if driver else {},
        stages=tuple(_under_way(stages, told, state)),
        part=part,
        rate=rate,
        left_s=left,
        answers=_answers(storage, now),
        tokens=tokens,
        cost=cost,
        purged=record is not None and not set(storage.children(PRIVATE)) - _DRIVERS,
        forecast=_compared(told.get("forecast"), stages),
    )


_DRIVERS = {"driver.json", "driver.lock", "progress.json"}


def _json(storage: Storage, path: str) -> dict[str, Any] | None:
    try:
        found = json.loads(storage.read(path))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _stages(
    storage: Storage, told: Mapping[str, Any], record: Mapping[str, Any] | None
) -> list[StageStatus]:
    """Those that the driver has named, else those of `run.json`, else those that are there."""
    named: list[Mapping[str, Any]] = list(told.get("stages") or ())
    if not named and record:
        named = [stage for stage in record.get("stages", ()) if "folder" in stage]
    if not named:
        found = (_STAGE_FOLDER.fullmatch(name) for name in storage.children(""))
        named = [{"number": int(m[1]), "name": m[2], "folder": m[0]} for m in found if m]
    return [_stage(storage, stage) for stage in named]


def _stage(storage: Storage, stage: Mapping[str, Any]) -> StageStatus:
    number, name, folder = stage["number"], stage["name"], stage["folder"]
    path = f"{folder}/{SUCCESS}"
    try:
        manifest = json.loads(storage.read(path))
        files = {entry["path"]: entry["bytes"] for entry in manifest["files"]}
    except FileNotFoundError:
        return StageStatus(number, name, folder, "to do")
    except (ValueError, KeyError, TypeError):
        return StageStatus(number, name, folder, "damaged", damage=(f"{path} cannot be read",))
    purged = not storage.exists(f"{PRIVATE}/{folder}")
    listed = [storage.list(place) for place in (folder, f"{PRIVATE}/{folder}")]
    there = {stat.path: stat.size for of_place in listed for stat in of_place}
    damage = tuple(
        f"{path} is gone" if path not in there else f"{path} has {there[path]:,} of {size:,} bytes"
        for path, size in files.items()
        if there.get(path) != size and not (purged and path.startswith(f"{PRIVATE}/"))
    )
    return StageStatus(number, name, folder, "damaged" if damage else "done", manifest, damage)


def _under_way(
    stages: Sequence[StageStatus], told: Mapping[str, Any], state: str
) -> "list[StageStatus]":
    """The stages, with the one that the driver works on, or failed in."""
    now = {"running": "running", "failed": "failed"}.get(state)
    return [
        StageStatus(s.number, s.name, s.folder, now)
        if now and s.name == told.get("stage") and s.state == "to do"
        else s
        for s in stages
    ]


def _rate(samples: Sequence[Sequence[float]]) -> float | None:
    """Rows a second between the first and the last sample."""
    if len(samples) < 2:
        return None
    (first_at, first), (last_at, last) = samples[0], samples[-1]
    return (last - first) / (last_at - first_at) if last_at > first_at and last > first else None


def _tokens(stages: Sequence[StageStatus], told: Mapping[str, Any]) -> dict[str, int]:
    """Of the finished stage, else of the run at work."""
    for stage in stages:
        if stage.name == "extractions" and stage.manifest:
            details = stage.manifest.get("details", {})
            return {name: details.get(name, 0) for name in ("prompt_tokens", "output_tokens")}
    return dict(told.get("tokens") or {})


def _compared(
    forecast: Mapping[str, Any] | None, stages: Sequence[StageStatus]
) -> dict[str, tuple[float, float | None]]:
    """A forecast beside what the stage took that it was made for.

    Requests are those of the questions; second attempts are not among them, nor the calibration
    set.
    """
    stage = next((s for s in stages if s.name == "extractions"), None)
    if not forecast or stage is None or stage.folder != forecast.get("folder"):
        return {}
    took: dict[str, float] = {}
    if stage.manifest:
        details, rows = stage.manifest.get("details", {}), stage.manifest.get("rows_out", 0)
        tokens = {n: details[n] for n in ("prompt_tokens", "output_tokens") if n in details}
        then = forecast.get("of_subjective", 0)
        asked = rows * (forecast.get("questions", 0) - then) + details.get("subjective", 0) * then
        took = {"conversations": rows, **tokens, "requests": asked}
    found = {
        name: (forecast[name], took.get(name))
        for name in ("conversations", "prompt_tokens", "output_tokens", "requests")
        if forecast.get(name) is not None
    }
    for of in stages:
        if forecast.get("seconds", {}).get(of.name, 0) >= SHORTEST_S:
            found[f"seconds of {of.name}"] = (
                forecast["seconds"][of.name],
                of.manifest.get("seconds"),
            )
    return found


def _answers(storage: Storage, now: float) -> dict[str, int]:
    """Committed answers of all readers, as the names of their files say."""
    committed = recent = set_aside = 0
    for folder in storage.children(PRIVATE):
        if not folder.startswith("answers-"):
            continue
        for stat in storage.list(f"{PRIVATE}/{folder}"):
            if "/damaged/" in stat.path:
                set_aside += 1
            elif match := _ANSWERS.fullmatch(stat.path):
                committed += int(match[2])
                recent += int(match[2]) * (now - int(match[1]) / 1000 <= WINDOW_S)
    return {"committed": committed, "last_5_min": recent, "files_set_aside": set_aside}
