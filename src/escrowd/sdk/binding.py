"""Makes a method that carries out a call or a plan look as if it were written out: name, docstring and arguments."""

import inspect
from collections.abc import Callable
from typing import Final, TypeVar

MethodT = TypeVar("MethodT", bound=Callable[..., object])


def dressed(method: MethodT, plan: Callable[..., object], *, leaves_out: int = 0) -> MethodT:
    """Return the method with the looks of the plan, whose first arguments, so many of them, are not the caller's."""
    signature = inspect.signature(plan)
    arguments = tuple(signature.parameters.values())[leaves_out:]
    looks = {
        "__name__": plan.__name__,
        "__qualname__": plan.__name__,
        "__doc__": plan.__doc__,
        # What it returns is said by the type that the binder declares; the plan's own would mislead.
        "__signature__": signature.replace(parameters=(_SELF, *arguments), return_annotation=inspect.Signature.empty),
    }
    for name, value in looks.items():
        setattr(method, name, value)
    return method


# ---------------------------------------------------------------------------------------------------------------------

_SELF: Final = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
