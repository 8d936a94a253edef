"""Sends rows to the actors that answer them, and adds up what they count.

Most runs need one pass. A screened run needs two: the sample first, then what the screen leaves.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vitw_ray import cluster
from vitw_ray.extraction.extractors import settings_without_start
from vitw_ray.extraction.health import new_watch, tell_check
from vitw_ray.extraction.screen.screener import Screening
from vitw_ray.extraction.segments import AnswerFolder, open_answers
from vitw_ray.extraction.unit_extractor import UnitExtractor
from vitw_ray.extraction.units import schedule
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.progress import Progress, log, spent
from vitw_ray.stages import StageContext
from vitw_ray.versions import versions


class Reading:
    """Has the reader answer rows, and knows what all passes counted.

    Attributes:
        key: of the reader.
        answered: conversations that it was asked about.
        rate: rows/s since the first extractor was ready, of the pass with most rows. The time to
            load a model is left out: it takes minutes, and is not part of the throughput.
        watch: signs of a reader that does not read.
    """

    def __init__(self, context: StageContext, folder: str, key: str) -> None:
        """Read for a stage; `folder` is that of the reader's answers."""
        self.key = key
        self.answered = 0
        self.rate: float | None = None
        self.watch = new_watch(context.config)
        self._context, self._folder = context, folder
        self._told = False  # how well the reader read the calibration set
        self._most = 0  # rows of the pass that the rate is of
        self._described: dict[str, dict[str, Any]] = {}  # by actor

    def answers(self) -> AnswerFolder:
        """The folder of the reader's answers, as it is now."""
        parts = len(self._context.tables["conversations"].files)
        return open_answers(self._context.storage, self._folder, parts)

    @property
    def settings(self) -> dict[str, Any]:
        """The description that extractors give of themselves, or of one that need not start."""
        described = _one_description(list(self._described.values()))
        return described or settings_without_start(self._context.config)

    def answer(
        self,
        pending: Sequence[Sequence[int]],
        rows: int,
        *,
        screening: Screening | None = None,
        is_random: bool = True,
    ) -> None:
        """Answer rows in one pass. Where nothing is missing, no actor starts.

        Args:
            pending: of each part, the positions of these rows, in ascending order.
            rows: that the pass is about, for the progress: those that are there included.
            screening: which of them the model need not read.
            is_random: the rows were not chosen by what they say; only of such rows does it mean
                anything that the answers are alike.
        """
        config, self._told = self._context.config, self._told or tell_check(self._context)
        there = rows - sum(map(len, pending))
        if there:
            log.info("extractions: %s answers are there already", f"{there:,} of {rows:,}")
        units, concurrent_units = schedule(pending, config)
        has_model = EXTRACTORS[config.extraction.extractor].has_model
        tally = cluster.Tally() if units and has_model else None
        results = cluster.stream_through_actors(
            units,
            UnitExtractor,
            arguments={**self._actor_arguments(), "tally": tally, "screening": screening},
            execution=config.execution,
            concurrent_units=concurrent_units,
        )
        outside = max(0, rows - sum(unit["stop"] - unit["start"] for unit in units))
        totals, ready = Counter[str](), math.inf
        with Progress(
            "extractions",
            rows,
            waiting="waiting for the first answers",
            left_before=there,
            under_way=tally.rows if tally else None,
        ) as progress:
            if outside:
                progress.add(outside, reused=outside)
            for result in results:
                self._told = self._told or tell_check(self._context)
                if is_random and screening is None:
                    self.watch.add(result["tallies"])
                counts = result["counts"]
                totals.update(counts)
                spent.update(result["tokens"])
                if tally:
                    tally.finish(result["unit"])
                self._described[result["actor"]] = result["described"]
                ready = min(ready, result["ready"])
                progress.add(counts["rows"], counts["failed"], counts["reused"])
        self.answered += totals["answered"]
        if units and totals["answered"] >= self._most:
            self._most = totals["answered"]
            self.rate = round(totals["answered"] / max(time.time() - ready, 1e-3), 2)

    def _actor_arguments(self) -> dict[str, Any]:
        context = self._context
        return {
            "storage": context.storage,
            "answers": self.answers(),
            "parts": context.tables["conversations"].files,
            "config": context.config,
            "keyed": context.keyed,
            "epoch": context.epoch,
            "key": self.key,
            "driver_version": versions()["vitw_ray"],
        }


def _one_description(described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One actor's settings, which all actors share, with engine restarts summed over actors."""
    settings = dict(described[0]) if described else {}
    if "restarts" in settings:
        settings["restarts"] = sum(of_actor["restarts"] for of_actor in described)
    return settings
