"""Planted conversations against a release: what fifty chats tell of one more.

After Clio was attacked in this way (Cliopatra): the attacker has accounts of its own, knows all
conversations but one, and the reader obeys it. In each game a coin decides whether the victim's one
conversation holds an attribute. If so, the hostile reader gives it the attacker's labels, as many
as a reader may give; it gives the same labels to the planted conversations. The attacker sees the
release only and says how the coin fell. It has played the game many times at home with known coins,
and weighs each label by what it saw there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.evaluation.audit_population import hashes
from vitw_ray.release.strict.population import Hashes, Pairs, Population

AI_LABELS, HUMAN_LABELS = 12, 8  # as many as a reader may give
PLANTED = 50
BACKGROUND = 600  # ours: other accounts, with a conversation each
REHEARSALS = 200  # ours: games with known coins, before the games that count
COMMON = 40  # ours: labels of the other accounts
ATTACKERS: Mapping[str, tuple[str, ...]] = {
    "ai_values": tuple(f"planted value {n}" for n in range(AI_LABELS)),
    "human_values": tuple(f"planted wish {n}" for n in range(HUMAN_LABELS)),
}

Seen = Mapping[tuple[str, str], float]
"""What a release says: facet and label -> count, for the labels that are there."""
Release = Callable[[Population, int], Seen]
"""Makes a release of a population; the number is of the game, for its own secret."""


@dataclass(frozen=True)
class Planting:
    """The attacker's conversations."""

    accounts: int = PLANTED
    """Its accounts, with as many conversations each."""
    each: int = PLANTED
    """Planted conversations that hold each label: at a threshold, this decides."""


def population(planting: Planting, coin: bool, draw: np.random.Generator) -> Population:
    """Other accounts, the attacker's, and the victim."""
    n = BACKGROUND + PLANTED + 1
    accounts = np.arange(n)
    accounts[BACKGROUND:-1] = BACKGROUND + np.arange(PLANTED) % planting.accounts
    facets = {"tasks": Pairs(np.arange(n), np.zeros(n, np.int64), ["plan a week"], hashes(["t"]))}
    common = tuple(f"common {n}" for n in range(COMMON))
    for facet, mine in ATTACKERS.items():
        rows = [np.repeat(np.arange(BACKGROUND), 2)]
        codes = [draw.integers(0, COMMON, 2 * BACKGROUND)]
        holders = [*range(BACKGROUND, BACKGROUND + planting.each), *([n - 1] if coin else [])]
        for code in range(COMMON, COMMON + len(mine)):
            rows.append(np.array(holders, np.int64))
            codes.append(np.full(len(holders), code))
        pairs = np.unique(np.stack([np.concatenate(rows), np.concatenate(codes)]), axis=1)
        names = [*common, *mine]
        facets[facet] = Pairs(pairs[0], pairs[1], names, hashes([f"{facet} {x}" for x in names]))
    return Population(accounts, _order(n, draw), np.zeros(n, np.int64), facets)


def points_above_guessing(release: Release, planting: Planting, games: int, seed: int = 0) -> float:
    """Percentage points above 50 of the attacker's right answers."""
    draw = np.random.default_rng(seed)
    coins = np.arange(REHEARSALS + games) % 2 == 0
    draw.shuffle(coins)
    seen = np.array(
        [_numbers(release(population(planting, coin, draw), n)) for n, coin in enumerate(coins)]
    )
    home, away = slice(0, REHEARSALS), slice(REHEARSALS, None)
    present, absent = seen[home][coins[home]], seen[home][~coins[home]]
    weights = (present.mean(0) - absent.mean(0)) / (seen[home].var(0) + 1e-9)
    scores = seen @ weights
    cut, sign = _best_cut(scores[home], coins[home])
    said = (scores[away] > cut) == sign
    return 100 * (float((said == coins[away]).mean()) - 0.5)


def _numbers(seen: Seen) -> list[float]:
    """Of each planted label: is it there, and its count."""
    keys = [(facet, name) for facet, names in ATTACKERS.items() for name in names]
    there = [float(key in seen) for key in keys]
    return [*there, *(seen.get(key, 0.0) for key in keys), sum(seen.values())]


def _best_cut(scores: NDArray[np.float64], coins: NDArray[np.bool_]) -> tuple[float, bool]:
    """Where to divide the scores, and whether those above speak for the attribute."""
    tried = [
        (float((((scores > cut) == sign) == coins).mean()), float(cut), sign)
        for cut in np.unique(scores)
        for sign in (True, False)
    ]
    _, cut, sign = max(tried)
    return cut, sign


def _order(n: int, draw: np.random.Generator) -> Hashes:
    return draw.integers(0, 1 << 63, n).astype(np.uint64)
