"""A vLLM plug-in that makes a real engine fail on marked prompts.

With this folder on PYTHONPATH vLLM finds the plug-in by its entry point and loads it in every
engine process, also in a spawned one. A mark is plain text anywhere in a prompt:

- `KILL`: the engine process dies of SIGKILL in the step that schedules the request.
- `STARVE`: the request is accepted and never scheduled, until the client times out.
- `LAWLESS`: the request is decoded without its grammar, and no end token stops it.

If the environment names a folder in `CALL_LOG`, each request writes a line there: a hash of its
prompt and token limit, so that repeated requests can be recognised.
"""

import hashlib
import os
import signal
from functools import wraps
from pathlib import Path
from typing import Any

KILL, STARVE, LAWLESS = MARKS = (
    "this prompt kills the engine",
    "this prompt is never scheduled",
    "this prompt knows no grammar",
)
CALL_LOG = "ENGINE_FAULTS_CALL_LOG"


def register() -> None:
    """Change vLLM's scheduler and grammars in this process."""
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.structured_output import StructuredOutputManager

    Scheduler.add_request = _taking_in(Scheduler.add_request)
    Scheduler.schedule = _scheduling(Scheduler.schedule)
    for name in ("should_fill_bitmask", "should_advance"):
        check = getattr(StructuredOutputManager, name)
        setattr(StructuredOutputManager, name, _unless_lawless(check))


def _mark_of(request: Any, scheduler: Any) -> str | None:
    if not hasattr(request, "mark"):
        tokenizer = scheduler.structured_output_manager.tokenizer
        prompt = tokenizer.decode(request.prompt_token_ids)
        request.mark = next((mark for mark in MARKS if mark in prompt), None)
    return request.mark


def _taking_in(add_request: Any) -> Any:
    @wraps(add_request)
    def add_unless_starved(scheduler: Any, request: Any) -> None:
        mark = _mark_of(request, scheduler)
        _log_call(request)
        if mark == LAWLESS:
            request.sampling_params._eos_token_id = None
        if mark != STARVE:
            add_request(scheduler, request)

    return add_unless_starved


def _log_call(request: Any) -> None:
    if folder := os.environ.get(CALL_LOG):
        asked = f"{request.prompt_token_ids} {request.max_tokens}"
        with (Path(folder) / str(os.getpid())).open("a") as file:
            file.write(hashlib.sha256(asked.encode()).hexdigest() + "\n")


def _scheduling(schedule: Any) -> Any:
    @wraps(schedule)
    def schedule_or_die(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        output = schedule(scheduler, *args, **kwargs)
        for new in output.scheduled_new_reqs:
            if scheduler.requests[new.req_id].mark == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
        return output

    return schedule_or_die


def _unless_lawless(check: Any) -> Any:
    @wraps(check)
    def check_unless_lawless(manager: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        return request.mark != LAWLESS and check(manager, request, *args, **kwargs)

    return check_unless_lawless
