"""The base of everything that teams subclass: closed names stay closed, at creation and after it."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from carrental_mlops.core.guard import call_site, check_overrides
from carrental_mlops.errors import OverrideError

_PYTHON_WRITES = frozenset({"__abstractmethods__", "_abc_impl", "__final__", "__doc__", "__annotations__"})
_made: WeakKeyDictionary[type, dict[str, tuple[Any, Any]]] = WeakKeyDictionary()
"""Each guarded class as it was made: name to value, and to its code where it is a function."""


class GuardedType(ABCMeta):
    """Checks a class when it is made, refuses changes to it afterwards, and looks again when it is instantiated."""

    guards = True

    def __init_subclass__(cls) -> None:
        raise OverrideError(f"`{cls.__name__}` ({call_site()}) is a metaclass of its own", "remove `metaclass=`")

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **settings: Any) -> GuardedType:
        """The class, from a class line of a name and bases alone."""
        if settings:
            given = ", ".join(f"{key}=" for key in settings)
            raise OverrideError(f"`{name}` ({call_site()}) takes no {given} in its class line", f"remove {given}")
        return super().__new__(mcls, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        for root in _roots(cls):
            check_overrides(cls, root)
            admit = vars(root).get("_admit")
            if admit is not None:
                admit.__func__(cls)
        _made[cls] = _contents(cls)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """An instance, once the class is known to be as it was made."""
        _hold(cls)
        return super().__call__(*args, **kwargs)

    def register(cls, subclass: type) -> NoReturn:
        """Refused: a class that only says that it is a step has none of its closed names.

        Raises:
            OverrideError: always.
        """
        raise OverrideError(
            f"`{subclass.__name__}` ({call_site()}) is registered as a `{cls.__name__}`",
            f"derive it: class {subclass.__name__}({cls.__name__})",
        )

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith("__dataclass"):
            raise OverrideError(f"`{cls.__name__}` ({call_site()}) is made a dataclass", "remove @dataclass")
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


def _roots(cls: type) -> list[type]:
    return [base for base in cls.__mro__[1:] if Guarded in base.__bases__] if cls.__bases__ != (object,) else []


def _contents(cls: type) -> dict[str, tuple[Any, Any]]:
    return {n: (v, getattr(v, "__code__", None)) for n, v in vars(cls).items() if n not in _PYTHON_WRITES}


def _hold(cls: type) -> None:
    """Refuse what came to `cls` past `__setattr__`: into a mixin, through `type.__setattr__` or a function's code.

    Raises:
        OverrideError: names the class and what changed in it.
    """
    again = False
    for base in cls.__mro__[:-1]:
        before = _made.get(base)
        if before is None:
            again = again or base.__module__ not in ("abc", "typing")
            continue
        now = _contents(base)
        for name, (value, code) in before.items():
            found = now.get(name)
            if found is None or found[0] is not value or found[1] is not code:
                raise OverrideError(
                    f"`{base.__name__}.{name}` ({call_site()}) was changed after the class was made",
                    f"write a subclass: class My{base.__name__}({base.__name__}), and override a hook in its body",
                )
        again = again or len(now) > len(before)
    for root in _roots(cls) if again else ():
        check_overrides(cls, root)


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
