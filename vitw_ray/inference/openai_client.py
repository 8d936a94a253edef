"""Client of an OpenAI-compatible server: its setup, and the mapping of responses and errors."""

import math
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vitw_ray.errors import ConfigError
from vitw_ray.inference.answer_limits import UNPACKED, bounded
from vitw_ray.inference.choices import code_at_start, code_logprobs
from vitw_ray.inference.language_model import UNREACHABLE, Completion, ModelFailure
from vitw_ray.inference.question import Question

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAIError
    from openai.types.chat import ChatCompletion

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_S = 10.0  # ours: a host that is up accepts within a few round trips, even when busy
MOST_TOKENS = 1 << 31  # ours: no model reads or writes as many for one request
OTHER_MODEL = "another name"
_VERSION = r"(?:[-@:.](?:latest|v?\d[\d.-]{0,9}))?"  # a date at most


def make_client(url: str) -> "AsyncOpenAI":
    """Create a client for any number of concurrent requests; it sends each once.

    Raises:
        ConfigError: the package `openai` is not installed.
    """
    try:
        import openai
        from httpx2 import Limits  # openai's own HTTP client
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--extractor openai needs the package {error.name}",
            "run pip install '.[server]', which includes openai",
        ) from None
    return openai.AsyncOpenAI(
        base_url=url,
        api_key=os.environ.get(KEY_VARIABLE, "").strip() or "none",  # local servers need no key
        max_retries=0,  # see `server_retries`
        # The caller limits the total time of a request, including retries.
        timeout=openai.Timeout(None, connect=CONNECT_S),
        # By default only 100 connections are kept alive; further requests would have to reconnect.
        http_client=openai.DefaultAsyncHttpxClient(
            limits=Limits(max_connections=None, max_keepalive_connections=None),
            # A server could have the conversations sent to another one.
            follow_redirects=False,
            headers=UNPACKED,
            event_hooks={"response": [bounded]},
        ),
    )


def without_secrets(url: str) -> str:
    """Return `url` unchanged; it is safe to show in logs and manifests.

    Raises:
        ConfigError: it is not an http address, or has a part that can contain a key.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("--server-url is not an http address", "write http://host:port/v1")
    if "@" in parts.netloc or parts.query:
        raise ConfigError(
            "--server-url contains a password or a query", f"give the key only in {KEY_VARIABLE}"
        )
    return url


def completion_of(response: "ChatCompletion") -> Completion:
    """Convert a response to a `Completion`; a server may omit any field.

    Raises:
        ModelFailure: `refused`, or `server_refused_request` if this is not a completion.
    """
    try:
        choice, usage = response.choices[0], response.usage
        refused = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
        details = usage.prompt_tokens_details if usage else None
        completion = Completion(
            text=_text(choice.message.content),
            cut=choice.finish_reason == "length",
            prompt_tokens=_tokens(usage.prompt_tokens) if usage else 0,
            output_tokens=_tokens(usage.completion_tokens) if usage else 0,
            cached_tokens=_tokens(details.cached_tokens) if details else 0,
        )
    except (AttributeError, LookupError, TypeError):  # the client does not validate responses
        completion, refused = None, False
    if refused or completion is None:
        raise ModelFailure("refused" if refused else "server_refused_request")
    return completion


def _text(content: Any) -> str:
    """What a message says: a text, or a list of parts, as some servers write it.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(content, list):
        return "".join(part["text"] if isinstance(part, dict) else part for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError
    return content or ""


def _tokens(count: Any) -> int:
    """A number of tokens; 0, which stands for unknown, if it is no count that can be one."""
    is_count = isinstance(count, int) and not isinstance(count, bool)
    return count if is_count and 0 <= count < MOST_TOKENS else 0


def logprobs_of(response: "ChatCompletion", question: Question) -> tuple[float, ...] | None:
    """Log-probabilities of a closed question's codes; None if the server gives none."""
    before = re.compile(r'^\s*(\{\s*"[^"]*"\s*:\s*"?)?$')  # nothing, or the start of an object
    written = ""
    try:
        for entry in response.choices[0].logprobs.content:  # type: ignore[union-attr]
            if before.match(written) and code_at_start(entry.token, question.codes):
                likeliest = [
                    (top.token, min(top.logprob, 0.0))
                    for top in entry.top_logprobs
                    if math.isfinite(top.logprob)
                ]
                return code_logprobs(question.codes, likeliest)
            written += entry.token
    except (AttributeError, LookupError, TypeError, OverflowError):  # responses are not validated
        pass
    return None


def served_name(response: "ChatCompletion", asked: str | None) -> str:
    """The model that a server says it is, if that is a version of the one that was asked for.

    The name is published with the run, and a server may write anything there.
    """
    said = getattr(response, "model", None)
    version = isinstance(said, str) and re.fullmatch(re.escape(asked or "") + _VERSION, said)
    return said if asked and version else OTHER_MODEL  # type: ignore[return-value]


def failure_code(error: "OpenAIError") -> str:
    """Code of a failed request, which was sent again after 408, 409, 429 and 5xx."""
    status = getattr(error, "status_code", 500)
    permanent = 400 <= status < 500 and status not in (408, 409, 429)
    return "server_refused_request" if permanent else UNREACHABLE


def wrong_key(url: str) -> ConfigError:
    """The error for an API key that the server rejects."""
    return ConfigError(
        f"the server at {url} does not accept the key in {KEY_VARIABLE}",
        f"set {KEY_VARIABLE} in the environment of the extractor's actors",
    )


def start_problem(error: Exception, url: str, model: str | None) -> ConfigError:
    """Why the run cannot start; the message has no text from the server."""
    import openai

    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return wrong_key(url)
    if isinstance(error, openai.NotFoundError):
        return ConfigError(
            f"the server at {url} does not know the model {model} (404)",
            "check --model, and --server-url, which ends in /v1 for most servers",
        )
    if isinstance(error, openai.APIStatusError):
        return ConfigError(
            f"the server at {url} answers a plain request with status {error.status_code}",
            "see its log; check --model and --sampling-kwargs",
        )
    if isinstance(error, openai.APIConnectionError):
        return ConfigError(f"no server answers at {url}", "start it first, or correct --server-url")
    kind = "timed out" if isinstance(error, TimeoutError) else "gave another kind of answer"
    return ConfigError(
        f"the server at {url} {kind} when asked for a chat completion",
        "check --server-url, --model and --request-timeout-s",
    )
