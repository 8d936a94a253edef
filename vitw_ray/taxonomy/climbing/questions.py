"""Questions to a language model for building wider groups above groups of values (Clio, 5.1: c-e).

Only proposals contain free words, limited in number and to letters as in `group_question`. For the
other steps the model answers with numbers of a list. The schema allows no other numbers, so no
label can inject an item into the list.
"""

from functools import cache
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, create_model

from vitw_ray.facets import LABEL_TREES, ValueFacet
from vitw_ray.inference.question import Question
from vitw_ray.taxonomy.naming.group_question import NAME, WHO, words

PROMPTS = Path(__file__).parent / "prompts"
MOST_LISTED = 100  # ours: names of 100 groups take under 1,024 tokens
MOST_PROPOSED = 15  # ours: fits the default --max-output-tokens
MAX_PROPOSAL_WORDS = 15  # ours: half a description, since the group is described again later
MAX_REASON_WORDS = 20  # ours: a scratchpad as in Clio, but of limited length

Step = Literal["propose", "deduplicate", "assign"]
STEPS: tuple[Step, ...] = get_args(Step)

_CLOSED = ConfigDict(extra="forbid", frozen=True)


class Proposal(BaseModel):
    """A proposed group, before clusters are assigned to it."""

    model_config = _CLOSED

    description: Annotated[str, StringConstraints(pattern=rf"^{words(3, MAX_PROPOSAL_WORDS)}\.$")]
    name: Annotated[str, StringConstraints(pattern=NAME)]


@cache
def propose_question(facet: ValueFacet, fewest: int, most: int) -> Question:
    """Asks for wider groups of a neighbourhood; answer: `groups`, `fewest` to `most` of them."""
    some = Annotated[list[Proposal], Field(min_length=fewest, max_length=most)]
    name, fields = f"{fewest}_{most}", {"groups": some}
    return _question("propose", facet, name, fields, fewest=fewest, most=most)


@cache
def deduplicate_question(facet: ValueFacet, listed: int, fewest: int, most: int) -> Question:
    """Asks which proposals to keep; answer: `kept`, `fewest` to `most` distinct numbers."""

    def different(numbers: list[int]) -> list[int]:
        if len(set(numbers)) < fewest:
            raise ValueError("too few different numbers")
        return sorted(set(numbers))

    some: Any = Annotated[
        list[_number(listed)],
        Field(min_length=fewest, max_length=most),
        AfterValidator(different),
    ]
    name, fields = f"{listed}_{fewest}_{most}", {"kept": some}
    return _question("deduplicate", facet, name, fields, fewest=fewest, most=most)


@cache
def assign_question(facet: ValueFacet, listed: int) -> Question:
    """Asks where a group belongs; answer: `because`, then the `number` of one wider group."""
    why = Annotated[str, StringConstraints(pattern=rf"^{words(3, MAX_REASON_WORDS)}\.$")]
    fields = {"because": why, "number": _number(listed)}
    return _question("assign", facet, str(listed), fields)


def climb_questions() -> list[Question]:
    """The longest form of each question, to compute the context size."""
    return [
        question
        for facet in LABEL_TREES
        for question in (
            propose_question(facet, 1, MOST_PROPOSED),
            deduplicate_question(facet, MOST_LISTED, 1, MOST_LISTED),
            assign_question(facet, MOST_LISTED),
        )
    ]


def _number(most: int) -> Any:
    return Literal[tuple(range(1, most + 1))]


def _question(
    step: Step, facet: ValueFacet, form: str, fields: dict[str, Any], **bounds: int
) -> Question:
    """Build a question; its name is unique among the forms of the step."""
    required: Any = {name: (type_, ...) for name, type_ in fields.items()}
    return Question(
        name=f"{step}_{form}",
        before=Template(_prompt(step)).substitute(who=WHO[facet]),
        after=Template(_prompt(f"{step}_cue")).substitute(bounds),
        answer=create_model(step, __config__=_CLOSED, **required),
    )


@cache
def _prompt(name: str) -> str:
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()
