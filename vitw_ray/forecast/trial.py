"""A short trial: the real reader reads some conversations on this machine.

It is made, calibrated and asked as in a run, by the same code. Nothing that it says is kept.
"""

import time
from collections.abc import Sequence

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError, ReaderDegenerate
from vitw_ray.extraction.calibration.checking import make_check
from vitw_ray.extraction.calibration.fitting import needs_calibration
from vitw_ray.extraction.extractors import make_extractor
from vitw_ray.extraction.health import is_due, refuse_degenerate
from vitw_ray.extraction.model_extractor import ModelExtractor
from vitw_ray.extraction.questions import questions_for
from vitw_ray.forecast.tokens import Counter, Trial, expected
from vitw_ray.records import Conversation, Message


def measure(
    config: RunConfig, conversations: Sequence[Sequence[Message]], counter: Counter
) -> Trial:
    """Read some conversations.

    Args:
        config: the run.
        conversations: what is read.
        counter: of the tokens that this should take.

    Raises:
        ConfigError: the input has no conversation, or the reader rejects a setting.
        StageFailed: the reader does not start.
    """
    if not conversations:
        raise ConfigError("--measure has nothing to read", "give an input with conversations")
    started = time.monotonic()
    extractor = make_extractor(config)
    try:
        ready = time.monotonic()
        problem = None
        if is_due(config) or needs_calibration(extractor):
            record, calibration = make_check(config, extractor)
            if isinstance(extractor, ModelExtractor) and calibration is not None:
                extractor.use(calibration)
            try:
                refuse_degenerate(config, record if is_due(config) else None)
            except ReaderDegenerate as degenerate:
                problem = degenerate.problem.splitlines()[0]
        checked = time.monotonic()
        rows = [Conversation(str(n), tuple(one)) for n, one in enumerate(conversations)]
        found = dict(extractor.extract(rows))
        seconds = time.monotonic() - checked
    finally:
        if isinstance(extractor, ModelExtractor):
            extractor.close()
    questions, gate = questions_for(config.extraction), config.extraction.subjective_from
    prompt = computed = subjective = failed = 0
    for number, messages in enumerate(conversations):
        answer = found[number].answer
        above = answer is not None and answer.subjectivity >= gate
        of_prompt, of_computed = expected(counter, messages, questions, above)
        prompt, computed = prompt + of_prompt, computed + of_computed
        subjective, failed = subjective + above, failed + (answer is None)
    return Trial(
        rows=len(rows),
        failed=failed,
        subjective=subjective,
        start_s=ready - started,
        check_s=checked - ready,
        seconds=seconds,
        prompt_tokens=sum(one.prompt_tokens for one in found.values()),
        output_tokens=sum(one.output_tokens for one in found.values()),
        expected_prompt=prompt,
        expected_computed=computed,
        problem=problem,
    )
