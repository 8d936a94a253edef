"""`vitw publish`: a folder to publish, from a finished run."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from vitw_ray.cli.printing import say, say_json
from vitw_ray.errors import ConfigError
from vitw_ray.progress import set_up_logging
from vitw_ray.release.settings import (
    Kind,
    ReleaseSettings,
    StrictSettings,
    ThresholdSettings,
    UnknownAccounts,
)
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class Arguments:
    """Write a release: names and counts that may leave the house, with a data set card.

    threshold is a heuristic: what enough conversations and accounts share, in rounded counts with
    noise. A label is shown from about 51 conversations on, of 5 accounts or more.
    strict has differential privacy for accounts, and suits runs of some 10,000 accounts or more.
    Both read the private tables of the run: publish before private/ is deleted.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder: a local path or an s3:// address."""
    kind: Kind
    """How the release protects people; docs/releasing.md describes both."""
    to: str | None = None
    """Folder of the release; default: releases/<kind>-<number> in the run folder."""
    round_to: int | None = None
    """threshold: counts are multiples of this number, 5 or more (default: 10)."""
    again: bool = False
    """threshold: publish a further one; the difference of two may show single conversations."""
    epsilon: float | None = None
    """strict: privacy loss of this release (default: 1)."""
    delta: float | None = None
    """strict: probability that the loss is larger (default: 1e-6)."""
    account_conversations: int | None = None
    """Conversations that one account counts as at most. threshold: some are chosen (default: 3);
    strict: all of its conversations share that weight (default: 1)."""
    conversation_pairs: int | None = None
    """strict: values of each facet that count of one conversation at most (default: 8)."""
    unknown_accounts: UnknownAccounts | None = None
    """strict: own counts a conversation without account as an account of its own (default:
    refuse)."""
    budget_epsilon: float | None = None
    """strict: most that all releases of this run may spend together; default: one release."""
    secret_file: str | None = None
    """The run's secret, if the run was made with --secret-file."""


def main(arguments: Sequence[str]) -> int:
    """Publish."""
    config = (tyro.conf.FlagCreatePairsOff,)
    asked = tyro.cli(Arguments, args=arguments, prog="vitw publish", config=config)
    settings = settings_of(asked)
    from vitw_ray.publishing.publish import publish

    set_up_logging()
    done = publish(
        Storage(asked.run),
        settings,
        to=asked.to,
        secret_file=asked.secret_file,
        budget_epsilon=asked.budget_epsilon,
        again=asked.again,
    )
    say(f"release {done.entry.number} of this run ({done.entry.kind}) lies in {done.address}")
    say(done.told)
    say_json({"run": asked.run, "release": done.address, "kind": done.entry.kind, **done.spent})
    return 0


def settings_of(asked: Arguments) -> ReleaseSettings:
    """The settings of the kind that was asked for.

    Raises:
        ConfigError: a flag is of the other kind.
    """
    kinds = {"threshold": ThresholdSettings, "strict": StrictSettings}
    of_kind = {kind: {field.name for field in fields(made)} for kind, made in kinds.items()}
    of_kind["threshold"].add("again")
    of_kind["strict"].add("budget_epsilon")
    for kind, names in of_kind.items():
        others = sorted(names - of_kind[asked.kind])
        given = [name for name in others if getattr(asked, name) not in (None, False)]
        if kind != asked.kind and given:
            flag = f"--{given[0].replace('_', '-')}"
            raise ConfigError(
                f"{flag} is of --kind {kind}, and --kind is {asked.kind}",
                f"drop {flag}, or publish with --kind {kind}",
            )
    made = kinds[asked.kind]
    given = {field.name: getattr(asked, field.name) for field in fields(made)}
    return made(**{name: value for name, value in given.items() if value is not None})
