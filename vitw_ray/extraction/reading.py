"""Sends rows to the actors that answer them, and adds up what they count.

Most runs need one pass. A screened run needs two: the sample first, then what the screen leaves.
What a server failed to answer in a pass, it is asked once more after it.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from vitw_ray import cluster
from vitw_ray.errors import ConfigError
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
        answered: conversations that it was asked about, each once.
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
        """Answer rows. Where nothing is missing, no actor starts.

        Args:
            pending: of each part, the positions of these rows, in ascending order.
            rows: that the pass is about, for the progress: those that are there included.
            screening: which of them the model need not read.
            is_random: the rows were not chosen by what they say; only of such rows does it mean
                anything that the answers are alike.
        """
        self._told = self._told or tell_check(self._context)
        there = rows - sum(map(len, pending))
        if there:
            log.info("extractions: %s answers are there already", f"{there:,} of {rows:,}")
        for_signs = is_random and screening is None
        again = self._pass(pending, rows, there, screening=screening, for_signs=for_signs)
        if again:
            self._ask_again(again)

    def _ask_again(self, again: Mapping[int, Sequence[int]]) -> None:
        """Ask about rows that a server did not answer, once more, when it has answered the others.

        Args:
            again: of some parts, the positions of these rows.
        """
        parts = len(self._context.tables["conversations"].files)
        pending = [sorted(again.get(part, ())) for part in range(parts)]
        rows = sum(map(len, pending))
        log.info("extractions: asks %s conversations again that failed at the server", f"{rows:,}")
        try:
            self._pass(pending, rows, 0, is_again=True)
        except ConfigError as error:  # from the start of an actor: there may be no server any more
            log.warning("extractions: these stay failed: %s", error.problem)

    def _pass(
        self,
        pending: Sequence[Sequence[int]],
        rows: int,
        there: int,
        *,
        screening: Screening | None = None,
        for_signs: bool = False,
        is_again: bool = False,
    ) -> dict[int, list[int]]:
        """Have actors answer rows; of each part, the positions of those that the server failed."""
        config = self._context.config
        units, concurrent_units = schedule(pending, config)
        if is_again:
            units = [{**unit, "again": True} for unit in units]
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
        totals, ready, again = Counter[str](), math.inf, defaultdict[int, list[int]](list)
        with Progress(
            "extractions: asks again" if is_again else "extractions",
            rows,
            waiting="waiting for the first answers",
            left_before=there,
            under_way=tally.rows if tally else None,
        ) as progress:
            if outside:
                progress.add(outside, reused=outside)
            for result in results:
                self._told = self._told or tell_check(self._context)
                if for_signs:
                    self.watch.add(result["tallies"])
                counts = result["counts"]
                totals.update(counts)
                spent.update(result["tokens"])
                if tally:
                    tally.finish(result["unit"])
                self._note_description(result["actor"], result["described"])
                ready = min(ready, result["ready"])
                if result["ask_again"]:
                    again[result["part"]] += result["ask_again"]
                reused = 0 if is_again else counts["reused"]
                done = counts["answered"] if is_again else counts["rows"]
                progress.add(done, counts["failed"], reused)
        if not is_again:  # each row counts once
            self.answered += totals["answered"]
            self._note_rate(units, totals["answered"], ready)
        return again

    def _note_description(self, actor: str, described: dict[str, Any]) -> None:
        """Keep what an actor says of itself; the log says when its engine was started again."""
        before = self._described.get(actor, {}).get("restarts", 0)
        self._described[actor] = described
        new = described.get("restarts", 0) - before
        if new > 0:
            log.warning(
                "extractions: an engine died and was started again (restarts: %d new, %d in all);"
                " a conversation that kills it gets the error engine_died",
                *(new, self.settings["restarts"]),
            )

    def _note_rate(self, units: Sequence[cluster.Unit], answered: int, ready: float) -> None:
        if units and answered >= self._most:
            self._most = answered
            self.rate = round(answered / max(time.time() - ready, 1e-3), 2)

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
