"""Signs that a reader does not read, of a reading that is compared (`extraction.signs`)."""

from typing import Any

from vitw_ray.comparison.readers.readings import BY_NAME, Reading
from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.extraction.signs import WATCH, Sign, signs_of, tally
from vitw_ray.facets import VALUE_FACETS


def signs(reading: Reading) -> list[Sign]:
    """All signs that the answers to the sample show.

    What is tolerated is what is tolerated of traffic: the truth of the sample is not known.
    """
    found = [_answer(reading, n) for n in range(len(reading))]
    return signs_of(tally(found, reading.subjective_from, ()), WATCH)


def _answer(reading: Reading, row: int) -> Extracted:
    if (error := reading.errors[row]) is not None:
        return Extracted(None, error)
    fields: dict[str, Any] = {
        facet: tuple(Value.model_construct(label=label) for label in reading.labels[facet][row])
        for facet in VALUE_FACETS
    }
    fields["subjectivity"] = int(str(_category(reading, "subjectivity", row)))
    fields["response_type"] = _category(reading, "response_type", row)
    # Not checked again: labels of other sources than a reader need not be in its alphabet.
    return Extracted(Answer.model_construct(task=reading.tasks[row], **fields))


def _category(reading: Reading, facet: str, row: int) -> str | None:
    code = int(reading.codes[facet][row])
    return BY_NAME[facet].categories[code] if code >= 0 else None
