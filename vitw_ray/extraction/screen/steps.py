"""The steps of a screened stage: make the screen or find it, use it, and judge it at the end."""

from typing import Any

from vitw_ray.extraction.assemble import SCREEN_COUNTS, Assembled, Decided, assemble
from vitw_ray.extraction.pending import pending_rows
from vitw_ray.extraction.reading import Reading
from vitw_ray.extraction.screen.audit import Audit
from vitw_ray.extraction.screen.certify import least_subjective
from vitw_ray.extraction.screen.ranges import Ranges, choose_sample, rows_of, split_rows
from vitw_ray.extraction.screen.sample import read_sample
from vitw_ray.extraction.screen.screener import Screening, objective_level
from vitw_ray.extraction.screen.stored import (
    Screen,
    decided_folder,
    read_screen,
    screen_folder,
    store_screen,
)
from vitw_ray.extraction.screen.training import make_screen
from vitw_ray.extraction.segments import AnswerFolder, open_answers
from vitw_ray.progress import log
from vitw_ray.stages import StageContext


def read_screened(context: StageContext, reading: Reading) -> tuple[Assembled, dict[str, Any]]:
    """Have the reader answer what the screen leaves, and all if the audit rejects the screen.

    Returns:
        The table, and what the manifest says of the screen.
    """
    conversations, key = context.tables["conversations"], reading.key
    folder = screen_folder(context.config, key, conversations.digest)
    size = context.config.extraction.screen_sample
    ranges = choose_sample([part.rows for part in conversations.files], size, context.keyed)
    screen = read_screen(context.storage, folder)
    is_new = screen is None
    if screen is None:
        screen = _new_screen(context, reading, folder, ranges)
    _tell(screen)
    decided = _decided(context, folder)
    pending = pending_rows(context, reading.answers(), key, decided).rows
    if is_new:  # the sample was read just now; of an older one, failed rows are asked about again
        _, pending = split_rows(pending, ranges)
    screening = _screening(context, screen, decided.answers, ranges)
    reading.answer(pending, conversations.rows, screening=screening)
    decided = _decided(context, folder)
    table = assemble(context, reading.answers(), key, decided)
    audit = _audit_of(table, screen)
    if audit.rejects:
        _tell_withdrawn(audit)
        left_out = pending_rows(context, reading.answers(), key, decided).left_out
        reading.answer(left_out, conversations.rows, is_random=False)
        table = assemble(context, reading.answers(), key)
    details = _details(screen, audit, table.counts["skipped"])
    for name in SCREEN_COUNTS:
        del table.counts[name]
    return table, details


def _new_screen(context: StageContext, reading: Reading, folder: str, ranges: Ranges) -> Screen:
    """Have the reader answer the sample, and make a screen of it."""
    wanted, _ = split_rows(pending_rows(context, reading.answers(), reading.key).rows, ranges)
    reading.answer(wanted, rows_of(ranges))
    sample = read_sample(context, ranges, reading.answers(), reading.key)
    return store_screen(context.storage, folder, make_screen(sample, context.config))


def _screening(
    context: StageContext, screen: Screen, decided: AnswerFolder, ranges: Ranges
) -> Screening | None:
    """What actors need; None if no threshold could be certified, so that nothing is screened."""
    extraction, threshold = context.config.extraction, screen.certificate.threshold
    if threshold is None:
        return None
    return Screening(
        decided=decided,
        head=screen.head,
        threshold=threshold,
        embedder=extraction.screen_embedder,
        level=objective_level(extraction.subjective_from),
        sample=ranges,
    )


def _decided(context: StageContext, folder: str) -> Decided:
    """All conversations that were screened out, also before a restart."""
    name = f"screen@{folder.rsplit('-', 1)[1]}"
    parts = len(context.tables["conversations"].files)
    return Decided(open_answers(context.storage, decided_folder(folder), parts), name)


def _audit_of(table: Assembled, screen: Screen) -> Audit:
    """The audit, from counts over the rows of the table."""
    return Audit(
        screened=table.counts["screened"],
        audited=table.counts["audited"],
        subjective=table.counts["audited_subjective"],
        kept=table.counts["kept_subjective"],
        alpha=screen.certificate.alpha,
    )


def _tell_withdrawn(audit: Audit) -> None:
    log.warning(
        "extractions: the audit found %s subjective of %s screened conversations, more than a"
        " loss of %.1f %% allows (p = %.2g): the screen is withdrawn, and the model reads all",
        *(audit.subjective, audit.audited, 100 * audit.alpha, audit.p_value),
    )


def _details(screen: Screen, audit: Audit, skipped: int) -> dict[str, Any]:
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
