"""The exceptions a user can meet. Each says what is wrong, where, and what to do next.

No message ever holds conversation text: files, fields, rows, ids and counts only.
"""


class VitwRayError(Exception):
    """The one class that jobs catch: `problem` and `fix` are two sentences for a person."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}\n  what to do: {fix}")
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Survive the trip back from a Ray worker."""
        return type(self), (self.problem, self.fix)


class ConfigError(VitwRayError):
    """A setting that cannot work; `problem` names the field."""


class InputError(VitwRayError):
    """Input files that are missing, unreadable or of no known shape."""


class OutputError(VitwRayError):
    """An output address that cannot be written, or lacks what a run needs."""


class MayPass(VitwRayError):
    """A failure that may be gone a moment later, or on another machine: the work is tried again."""


class StorageFailed(MayPass, OutputError):
    """The storage of the run folder failed, several times in a row."""


class InputFailed(MayPass, InputError):
    """The storage of an input file failed, several times in a row."""


class RunLocked(VitwRayError):
    """Another driver works on the same run folder."""


class RayFailed(VitwRayError):
    """Ray does not start on this machine, or cannot be joined."""


class SecretLost(VitwRayError):
    """The run folder holds keyed hashes but not the secret they were made with."""


class StageFailed(VitwRayError):
    """A stage whose rows do not add up, or with more failed rows than allowed."""


class ReaderDegenerate(VitwRayError):
    """A reader whose answers do not depend on what it reads."""


class Stopped(VitwRayError):
    """The user stopped the run; what was answered is kept."""
