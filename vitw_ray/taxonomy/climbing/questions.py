"""What a language model is asked to put wider groups above groups of values (Clio, 5.1: c, d, e).

It writes words only when it proposes groups, and those are counted words of letters, as in
`group_question`. What to keep of the proposals, and which group goes where, it says by numbers of a
list: an engine can decode no other, and nobody's label can add to the list.
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
MOST_LISTED = 100  # ours: names of so many groups take under 1,024 tokens
MOST_PROPOSED = 15  # ours: so many fit the default room of an answer
MAX_PROPOSAL_WORDS = 15  # ours: half a description, since the group will be described anew
MAX_REASON_WORDS = 20  # ours: a scratchpad as in Clio, but one that ends

Step = Literal["propose", "deduplicate", "assign"]
STEPS: tuple[Step, ...] = get_args(Step)

_CLOSED = ConfigDict(extra="forbid", frozen=True)


class Proposal(BaseModel):
    """A group as it is proposed, before anything has been put into it."""

    model_config = _CLOSED

    description: Annotated[str, StringConstraints(pattern=rf"^{words(3, MAX_PROPOSAL_WORDS)}\.$")]
    name: Annotated[str, StringConstraints(pattern=NAME)]


@cache
def propose_question(facet: ValueFacet, fewest: int, most: int) -> Question:
    """What wider groups a neighbourhood needs; answered by `groups`, so many of them."""
    some = Annotated[list[Proposal], Field(min_length=fewest, max_length=most)]
    name, fields = f"{fewest}_{most}", {"groups": some}
    return _question("propose", facet, name, fields, fewest=fewest, most=most)


@cache
def deduplicate_question(facet: ValueFacet, listed: int, fewest: int, most: int) -> Question:
    """Which of the proposals stay; answered by `kept`, so many different numbers from 1 up."""

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
    """Where a group belongs; answered by the `number` of one wider group, and before that why."""
    why = Annotated[str, StringConstraints(pattern=rf"^{words(3, MAX_REASON_WORDS)}\.$")]
    fields = {"because": why, "number": _number(listed)}
    return _question("assign", facet, str(listed), fields)


def climb_questions() -> list[Question]:
    """The widest form of each question, for whoever has to make room for them."""
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
    """A question; its name tells its form from the other forms of the step."""
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
