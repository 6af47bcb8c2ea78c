"""The base of everything that teams subclass: closed names stay closed, at creation and after it."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

from carrental_mlops.core.guard import call_site, check_overrides
from carrental_mlops.errors import OverrideError

_PYTHON_WRITES = frozenset({"__abstractmethods__", "_abc_impl", "__final__", "__doc__", "__annotations__"})


class GuardedType(ABCMeta):
    """Checks a class when it is made and refuses changes to it afterwards."""

    guards = True

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(name, bases, namespace)
        roots = [base for base in cls.__mro__[1:] if Guarded in base.__bases__] if bases else []
        if roots and type(cls) is not GuardedType:
            raise OverrideError(f"`{name}` ({call_site()}) has a metaclass of its own", "remove `metaclass=`")
        for root in roots:
            check_overrides(cls, root)
            admit = vars(root).get("_admit")
            if admit is not None:
                admit.__func__(cls)

    def __setattr__(cls, name: str, value: Any) -> None:
        own_helper = name.startswith("_") and not name.startswith("__") and not hasattr(cls, name)
        if name not in _PYTHON_WRITES and not own_helper:
            raise OverrideError(
                f"`{cls.__name__}.{name}` ({call_site()}) is assigned after the class was made",
                f"write a subclass: class My{cls.__name__}({cls.__name__}), and override a hook in its body",
            )
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        raise OverrideError(
            f"`{cls.__name__}.{name}` ({call_site()}) is deleted after the class was made", "leave the name in place"
        )


class Guarded(metaclass=GuardedType):
    """Derive a root class from it, `class ModelService(Guarded)`, and each subclass of that root is checked at import.

    A root may define two private classmethods: `_opens(cls, name, value) -> bool` opens further names, and
    `_admit()` holds each new subclass to rules of its own.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set run data; a name of the class, such as a hook, is refused.

        Raises:
            OverrideError: the class defines `name`.
        """
        if name == "__class__" or hasattr(type(self), name):
            raise OverrideError(
                f"`self.{name}` ({call_site()}) would hide `{type(self).__name__}.{name}`",
                "override it in a subclass, or give the attribute another name",
            )
        object.__setattr__(self, name, value)
