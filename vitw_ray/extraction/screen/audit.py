"""The audit of the screen: a random part of the screened conversations is read all the same.

Which ones is decided by a keyed hash of the conversation, so a rerun and a resumed run audit the
same. The audit is judged once, when all conversations have a decision and the audited ones their
answers. One look needs no correction for repeated looks, and its outcome depends on answers alone,
not on the order in which actors gave them. If it rejects the bound, the screen is withdrawn: the
model then reads every conversation that was screened out, and the run loses nothing but the time of
the heads.
"""

from dataclasses import dataclass

from scipy import stats

from vitw_ray.keys import Keyed

AUDIT_SHARE = 0.02  # ours: of the screened conversations
LEVEL = 0.05  # ours: probability that a screen whose loss is alpha or less is withdrawn


def is_audited(keyed: Keyed, answer_key: bytes) -> bool:
    """Whether a conversation is read all the same, should it be screened out."""
    return int.from_bytes(keyed.digest("audit", answer_key, 8), "big") < AUDIT_SHARE * 2**64


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the audit found. Rows that failed are in none of the counts but `screened`.

    Attributes:
        screened: conversations below the threshold, the audited ones included.
        audited: those that the model has read all the same.
        subjective: audited conversations that the model calls subjective.
        kept: conversations above the threshold, or in the sample, that the model calls subjective.
        alpha: the loss that was certified.
    """

    screened: int
    audited: int
    subjective: int
    kept: int
    alpha: float

    @property
    def loss(self) -> float | None:
        """Estimated loss: the share of the reader's subjective conversations below the threshold.

        None if nothing was audited.
        """
        return None if not self.audited else self._loss(self.subjective / self.audited)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Exact 95 % interval of the loss, from that of the share among the audited."""
        if not self.audited:
            return None
        x, n = self.subjective, self.audited
        low = float(stats.beta.ppf(LEVEL / 2, x, n - x + 1)) if x else 0.0
        high = float(stats.beta.ppf(1 - LEVEL / 2, x + 1, n - x)) if x < n else 1.0
        return self._loss(low), self._loss(high)

    @property
    def p_value(self) -> float:
        """Exact p-value of "the loss is at most alpha"; small when too many are subjective."""
        if not self.audited:
            return 1.0
        return float(stats.binom.sf(self.subjective - 1, self.audited, self._allowed()))

    @property
    def rejects(self) -> bool:
        """Whether the certified bound does not hold."""
        return self.p_value <= LEVEL

    def _loss(self, share: float) -> float:
        lost = share * self.screened
        return lost / (lost + self.kept) if lost + self.kept else 0.0

    def _allowed(self) -> float:
        """Share of subjective among the screened at which the loss is alpha."""
        lost = self.alpha / (1 - self.alpha) * self.kept
        return min(lost / self.screened, 1.0)
