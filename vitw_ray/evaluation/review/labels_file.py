"""The files that labellers save: read, checked, and put beside what the reader said."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import fsspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from vitw_ray.alphabet import LABEL
from vitw_ray.errors import InputError
from vitw_ray.facets import AI_VALUES, HUMAN_VALUES, ResponseType

Label = Annotated[str, StringConstraints(pattern=f"^{LABEL}$")]
_FIX = "give the file that the page saved with Save labels, unchanged"


class Labelled(BaseModel):
    """What one person said about one conversation."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    conversation_id: str
    subjectivity: Annotated[int, Field(ge=1, le=4)] | None = None
    response_type: ResponseType | None = None
    ai_values: Annotated[tuple[Label, ...], Field(max_length=AI_VALUES.most)] = ()
    human_values: Annotated[tuple[Label, ...], Field(max_length=HUMAN_VALUES.most)] = ()
    note: str = ""
    skipped: bool = False

    @property
    def answered(self) -> bool:
        """Whether it says anything; a conversation may be skipped, or opened and left."""
        return self.subjectivity is not None and not self.skipped


class LabelsFile(BaseModel):
    """One file: the labels of one person."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal["vitw-review-labels"]
    sample: str
    labeller: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    share: Annotated[int, Field(ge=1)]
    labels: tuple[Labelled, ...]


def read_labels(address: str) -> LabelsFile:
    """Read one file. A message names the field and the place, and quotes no content.

    Raises:
        InputError: it cannot be read, or is no file of labels.
    """
    try:
        with fsspec.open(address, "rb") as file:
            content = file.read()  # type: ignore[union-attr]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{address} cannot be read ({type(error).__name__})", "correct the address"
        ) from None
    try:
        return LabelsFile.model_validate(json.loads(content))
    except ValidationError as error:
        raise InputError(f"{address}: {_problem(error)}", _FIX) from None
    except (ValueError, RecursionError):
        raise InputError(f"{address} is not valid JSON", _FIX) from None


def _problem(error: ValidationError) -> str:
    """The first problem: `labels, entry 3: subjectivity is not valid`."""
    place = error.errors()[0]["loc"]
    if len(place) >= 2 and place[0] == "labels":
        field = f"labels, entry {int(place[1]) + 1}: {place[2] if len(place) > 2 else 'the entry'}"
    else:
        field = str(place[0]) if place else "the whole"
    return f"{field} is missing or not valid"


def check_files(
    files: Mapping[str, LabelsFile], sample: str, labeller_of: Mapping[str, int | None]
) -> None:
    """See that files are of one sample, of different people, and label what was drawn.

    Args:
        files: by address.
        sample: digest of the sample.
        labeller_of: conversations of the sample, and whose share each is in.

    Raises:
        InputError: they are not.
    """
    people: dict[str, str] = {}
    for address, file in files.items():
        if file.sample != sample:
            raise InputError(
                f"{address}: sample is {file.sample[:40]}, and that of the run is {sample}",
                "give labels of the page that was drawn from this run",
            )
        if file.labeller in people:
            raise InputError(
                f"{address} and {people[file.labeller]} have the same labeller",
                "give each person's last file only, or correct the name in one of them",
            )
        people[file.labeller] = address
        ids = [one.conversation_id for one in file.labels]
        if strangers := sum(identity not in labeller_of for identity in ids):
            raise InputError(
                f"{address}: conversation_id of {strangers} labels is not in the sample", _FIX
            )
        if twice := len(ids) - len(set(ids)):
            raise InputError(f"{address}: {twice} conversations are labelled twice", _FIX)
    if not any(one.answered for file in files.values() for one in file.labels):
        raise InputError("no conversation is labelled in these files", "label some, and save again")


def as_row(one: Labelled | None) -> dict[str, Any]:
    """A label in the form of a row of `extractions`; one without answers where there is none."""
    found = one if one is not None and one.answered else Labelled(conversation_id="")

    def values(labels: Sequence[str]) -> list[dict[str, Any]]:
        return [{"label": label, "explicit": False} for label in labels]

    return {
        "subjectivity": found.subjectivity,
        "response_type": found.response_type,
        "ai_values": values(found.ai_values),
        "human_values": values(found.human_values),
        "task": None,
    }
