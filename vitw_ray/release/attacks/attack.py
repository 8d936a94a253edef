"""All attacks on one folder, in order."""

from collections.abc import Sequence

from vitw_ray.release.attacks.canaries import attack_canaries
from vitw_ray.release.attacks.differencing import attack_differences
from vitw_ray.release.attacks.digests import attack_digests
from vitw_ray.release.attacks.findings import Outcome
from vitw_ray.release.attacks.folder import PublicFolder
from vitw_ray.release.attacks.small_cells import Thresholds, attack_small_cells
from vitw_ray.release.attacks.subtraction import attack_subtraction


def attack(
    address: str,
    *,
    before: str | None = None,
    canaries: Sequence[str] = (),
    guesses: Sequence[str] = (),
    conversations: int | None = None,
    accounts: int | None = None,
) -> list[Outcome]:
    """Make every attack on a published folder.

    Args:
        address: a run folder, a release, or any folder with names and counts in CSV, JSON or
            Parquet. What lies under `private/` is not read.
        before: an earlier release of nearly the same conversations.
        canaries: secrets that were planted in the conversations.
        guesses: what somebody may try against public digests.
        conversations: that a public number needs; default: what the folder says, else 15.
        accounts: that it needs; default: what the folder says, else 5.

    Raises:
        InputError: there is no such folder, or nothing in it is public.
    """
    folder = PublicFolder.at(address)
    thresholds = Thresholds.of(folder, conversations, accounts)
    earlier = None if before is None else PublicFolder.at(before)
    return [
        attack_canaries(folder, canaries),
        attack_small_cells(folder, thresholds),
        attack_subtraction(folder, thresholds),
        attack_differences(folder, earlier, thresholds),
        attack_digests(folder, [*guesses, *canaries], thresholds),
    ]
