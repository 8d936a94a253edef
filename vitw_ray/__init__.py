"""Values in the Wild as an open, distributed job: conversations in, values out.

`run` starts a run from Python and `open_run` reads one. Both are imported when first used, so that
`import vitw_ray` costs neither Ray nor Arrow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vitw_ray.versions import __version__

if TYPE_CHECKING:
    from vitw_ray.opened_run import open_run
    from vitw_ray.start import run

__all__ = ["__version__", "open_run", "run"]

_MODULE_OF = {"open_run": "opened_run", "run": "start"}

if not TYPE_CHECKING:  # a type checker that saw `__getattr__` would accept any name

    def __getattr__(name: str) -> object:
        """Import what is asked for."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

    def __dir__() -> list[str]:
        """Names to complete, those not yet imported included."""
        return sorted({*globals(), *__all__})
