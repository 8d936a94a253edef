"""The two kinds of release, and what each of them may be asked for."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from vitw_ray.setting_checks import at_least, between

UnknownAccounts = Literal["refuse", "own"]
BASES = (5, 10, 20, 50, 100)
MOST_OF_ACCOUNT = 100  # ours: conversations; more were no bound


@dataclass(frozen=True, kw_only=True)
class ThresholdSettings:
    """A heuristic release: what enough conversations and accounts share, in rounded counts."""

    round_to: int = 10
    """Counts are multiples of this number."""
    account_conversations: int = 3
    """Conversations that one account contributes at most: 15 of them are then 5 accounts."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        between("account_conversations", self.account_conversations, 1, MOST_OF_ACCOUNT)
        at_least("round_to", self.round_to, BASES[0])


@dataclass(frozen=True, kw_only=True)
class StrictSettings:
    """A release with differential privacy for accounts."""

    epsilon: float = 1.0
    """Privacy loss of the release."""
    delta: float = 1e-6
    """Probability that the loss is larger."""
    account_conversations: int = 1
    """Conversations that one account counts as at most; all of its conversations share them."""
    conversation_pairs: int = 8
    """Values of each facet that count of one conversation at most."""
    unknown_accounts: UnknownAccounts = "refuse"
    """own: a conversation without account counts as an account of its own."""

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        between("epsilon", self.epsilon, 0.01, 20.0)
        between("delta", self.delta, 1e-12, 1e-3)
        between("account_conversations", self.account_conversations, 1, MOST_OF_ACCOUNT)
        between("conversation_pairs", self.conversation_pairs, 1, 1000)


ReleaseSettings: TypeAlias = ThresholdSettings | StrictSettings
Kind = Literal["threshold", "strict"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def kind_of(settings: ReleaseSettings) -> Kind:
    """The kind of release that settings are of."""
    return "strict" if isinstance(settings, StrictSettings) else "threshold"
