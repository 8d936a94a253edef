"""The steps of a screened stage: make the screen or find it, and judge it at the end."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vitw_ray import cluster
from vitw_ray.extraction.assemble import Decided
from vitw_ray.extraction.screen.audit import Audit
from vitw_ray.extraction.screen.certify import least_subjective
from vitw_ray.extraction.screen.screener import Screening, objective_level
from vitw_ray.extraction.screen.stored import (
    Screen,
    decided_folder,
    read_screen,
    screen_folder,
    store_screen,
)
from vitw_ray.extraction.screen.training import ReadUnit, make_screen, read_sample, split_units
from vitw_ray.extraction.segments import read_index
from vitw_ray.progress import log
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage


@dataclass(frozen=True, kw_only=True)
class ScreenedUnits:
    """A screen that stands, and the units that it is used on.

    Attributes:
        screen: head and certificate.
        folder: of the screen, in the run folder.
        sample: units that are read by the model in any case.
        others: all other units.
    """

    screen: Screen
    folder: str
    sample: list[cluster.Unit]
    others: list[cluster.Unit]


def prepare(
    context: StageContext,
    units: Sequence[cluster.Unit],
    reader_key: str,
    answers: str,
    *,
    read: ReadUnit,
    answer: Callable[[list[cluster.Unit]], object],
) -> ScreenedUnits:
    """The screen of this run: made now, from a sample that the model reads, or found.

    Args:
        context: the stage.
        units: of all rows, in the order of the rows.
        reader_key: key of the reader.
        answers: folder of its answers.
        read: reads the conversations of a unit.
        answer: has the model read units.
    """
    config, conversations = context.config, context.tables["conversations"]
    folder = screen_folder(config, reader_key, conversations.digest)
    sample, others = split_units(units, config.extraction.screen_sample, context.keyed)
    screen = read_screen(context.storage, folder)
    if screen is None:
        answer(sample)
        gathered = read_sample(
            sample,
            read=read,
            storage=context.storage,
            parts=conversations.files,
            index=read_index(context.storage, answers),
            config=config,
            keyed=context.keyed,
            reader_key=reader_key,
        )
        screen = store_screen(context.storage, folder, make_screen(gathered, config))
    _tell(screen)
    return ScreenedUnits(screen=screen, folder=folder, sample=sample, others=others)


def screening_of(context: StageContext, units: ScreenedUnits) -> Screening | None:
    """What actors need; None if no threshold could be certified, so that nothing is screened."""
    extraction, threshold = context.config.extraction, units.screen.certificate.threshold
    if threshold is None:
        return None
    return Screening(
        folder=units.folder,
        head=units.screen.head,
        threshold=threshold,
        embedder=extraction.screen_embedder,
        level=objective_level(extraction.subjective_from),
    )


def decided(storage: Storage, folder: str) -> Decided:
    """All conversations that were screened out, also before a restart."""
    name = f"screen@{folder.rsplit('-', 1)[1]}"
    return Decided(read_index(storage, decided_folder(folder)), name)


def audit_of(counts: Counter[str], screen: Screen) -> Audit:
    """The audit, from counts over the rows of the table."""
    return Audit(
        screened=counts["screened"],
        audited=counts["audited"],
        subjective=counts["audited_subjective"],
        kept=counts["kept_subjective"],
        alpha=screen.certificate.alpha,
    )


def withdrawn(audit: Audit) -> bool:
    """Whether the audit rejects the screen, so that the model is to read all; says so."""
    if audit.rejects:
        log.warning(
            "extractions: the audit found %s subjective of %s screened conversations, more than a"
            " loss of %.1f %% allows (p = %.2g): the screen is withdrawn, and the model reads all",
            *(audit.subjective, audit.audited, 100 * audit.alpha, audit.p_value),
        )
    return audit.rejects


def details(screen: Screen, audit: Audit, skipped: int) -> dict[str, Any]:
    """What the manifest says of the screen.

    Args:
        screen: head and certificate.
        audit: counts over the table.
        skipped: conversations that the model did not read.
    """
    certificate = screen.certificate
    return {
        "threshold": certificate.threshold,
        "loss_at_most": certificate.alpha,
        "delta": certificate.delta,
        "loss_bound": certificate.bound,
        "trained": screen.trained,
        "calibration": certificate.calibration,
        "calibration_subjective": certificate.subjective,
        "calibration_lost": certificate.lost,
        "screened": audit.screened,
        "audited": audit.audited,
        "audited_subjective": audit.subjective,
        "audit_loss": audit.loss,
        "audit_interval": audit.interval,
        "audit_p_value": audit.p_value,
        "withdrawn": audit.rejects,
        "skipped": skipped,
    }


def _tell(screen: Screen) -> None:
    c = screen.certificate
    if c.threshold is None:
        log.info(
            "extractions: no threshold of the screen can be certified: %s subjective conversations"
            " to calibrate on, %s needed for a loss of %.1f %%; the model reads all",
            *(c.subjective, least_subjective(c.alpha, c.delta), 100 * c.alpha),
        )
    else:
        log.info(
            "extractions: the screen loses at most %.2f %% of subjective conversations (%.0f %%"
            " sure): %s of %s in calibration",
            *(100 * c.bound, 100 * (1 - c.delta), c.lost, c.subjective),
        )
