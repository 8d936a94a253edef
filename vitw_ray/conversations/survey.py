"""Which of the listed files are read, in which shape, and why the others are passed over."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from vitw_ray.conversations.listing import LISTING_THREADS, Listing
from vitw_ray.conversations.looking import look_at, unknown_shape, unreadable
from vitw_ray.conversations.shapes import Recognised
from vitw_ray.errors import InputError
from vitw_ray.stages import SourceFile

EMPTY, NO_CONVERSATIONS = "empty", "no conversations"
_NO_ROWS = {"not_an_object"}  # what is well-formed JSON, such as a list of names
_OTHER_COLUMNS = {"messages_missing"}
_TOO_MUCH = {"row_too_long", "too_deep", "too_many_values"}  # what no conversation is


@dataclass(frozen=True)
class Survey:
    """What the input holds."""

    files: tuple[SourceFile, ...]
    """Those with conversations."""
    shapes: dict[str, str]
    passed_over: dict[str, str]
    """Name of a file or folder -> why it is not read."""
    looks: dict[str, Recognised] = field(default_factory=dict)
    """Name of a file -> what its rows look like; with the shape by which it is read."""

    def not_read(self) -> tuple[str, ...]:
        """Columns with values that the shape of their file does not read.

        Keys that may be text of a conversation are left out.
        """
        looks = [self.looks[name] for name in self.shapes]
        return tuple(sorted({c for look in looks for c in look.unread() if look.may_be_named(c)}))


def survey(listing: Listing, source_format: str = "auto") -> Survey:
    """Look at the rows of every file.

    A file of a folder whose rows are no conversations is passed over, as the side files of an
    export are. One whose rows are too large to be read is read beside others, and gives rejects:
    it costs nothing but itself. One that the user named, or that is damaged, is an error.

    Raises:
        InputError: such a file, or no file has conversations.
    """
    with ThreadPoolExecutor(LISTING_THREADS) as pool:
        looks = list(pool.map(look_at, listing.files))
    kept: dict[str, str] = {}
    passed_over = dict(listing.passed_over)
    first_error: InputError | None = None
    too_much: list[str] = []
    for file, (found, rejects) in zip(listing.files, looks, strict=True):
        error = _problem(file, found, rejects, source_format)
        if found is not None and error is None:
            kept[file.name] = str(source_format if source_format != "auto" else found.shape)
        elif error is None:
            passed_over[file.name] = EMPTY
        elif file.name in listing.given:
            raise error
        elif found is None and set(rejects) <= _TOO_MUCH:
            too_much.append(file.name)
            first_error = first_error or error
        elif not _is_other_data(found, rejects):
            raise error
        else:
            passed_over[file.name] = NO_CONVERSATIONS
            first_error = first_error or error
    if not kept:
        raise first_error or InputError(
            f"--input names {len(listing.files)} files, and none of them has a row",
            "give files with conversations",
        )
    (shape, _), *_ = Counter(kept.values()).most_common()
    kept |= dict.fromkeys(too_much, shape)
    files = tuple(file for file in listing.files if file.name in kept)
    found_in = {
        file.name: replace(look, shape=kept.get(file.name, look.shape))
        for file, (look, _) in zip(listing.files, looks, strict=True)
        if look
    }
    return Survey(files, kept, dict(sorted(passed_over.items())), found_in)


def _problem(
    file: SourceFile, found: Recognised | None, rejects: Counter[str], source_format: str
) -> InputError | None:
    if found is None:
        return unreadable(file, rejects) if rejects else None
    return None if found.shape or source_format != "auto" else unknown_shape(file, found)


def _is_other_data(found: Recognised | None, rejects: Counter[str]) -> bool:
    """Whether a file holds good data of another kind, rather than conversations that are odd."""
    return set(rejects) <= _NO_ROWS if found is None else set(found.reasons) <= _OTHER_COLUMNS
