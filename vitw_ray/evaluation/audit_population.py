"""The two populations of the audit: they differ by one account, which is as odd as it may be."""

import hashlib

import numpy as np

from vitw_ray.release.strict.population import Hashes, Pairs, Population

COMMON, ONLY = "honesty", "a name of one account"
ACCOUNTS = 60
ODD = 40  # conversations of the one account
NAMES = (COMMON, ONLY, *(f"value {letter}" for letter in "abcdefghijklmnopqrst"))


def audit_population(with_the_account: bool) -> Population:
    """Sixty accounts with one conversation each, and one with forty that hold everything."""
    held = [{COMMON, NAMES[2 + n % 20]} if n % 4 else {NAMES[2 + n % 20]} for n in range(ACCOUNTS)]
    types = [n % 7 for n in range(ACCOUNTS)]
    accounts = list(range(ACCOUNTS))
    if with_the_account:
        held += [set(NAMES)] * ODD
        types += [0] * ODD
        accounts += [ACCOUNTS] * ODD
    values = _pairs([sorted(NAMES.index(name) for name in names) for names in held], list(NAMES))
    tasks = _pairs([[n % 3] for n in range(len(held))], ["write a letter", "find a fault", "plan"])
    return Population(
        np.array(accounts, np.int64),
        hashes([f"conversation {n}" for n in range(len(held))]),
        np.array(types, np.int64),
        {"ai_values": values, "human_values": values, "tasks": tasks},
    )


def alone() -> Population:
    """The population whose one account holds a single name, which nobody else does."""
    people = audit_population(with_the_account=True)
    ai = people.facets["ai_values"]
    odd = people.accounts[ai.rows] == ACCOUNTS
    kept = ai.take(~odd | (ai.codes == NAMES.index(ONLY)))
    return Population(
        people.accounts, people.order, people.response_types, {**people.facets, "ai_values": kept}
    )


def hashes(texts: list[str]) -> Hashes:
    """A hash of each text."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.array([int.from_bytes(digest, "big") for digest in digests], np.uint64)


def _pairs(held: list[list[int]], names: list[str]) -> Pairs:
    rows = np.repeat(np.arange(len(held)), [len(codes) for codes in held])
    codes = np.array([code for one in held for code in one], np.int64)
    return Pairs(rows.astype(np.int64), codes, names, hashes(names))
