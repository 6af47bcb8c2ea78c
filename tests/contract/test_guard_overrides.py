"""Every way to take over a closed name of a step is refused at import, with class, file, line and the mend."""

import functools
import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, final

import pytest

from carrental_mlops.core import Step, StepConfig, call, hook
from carrental_mlops.core.guarded import Guarded
from carrental_mlops.errors import OverrideError


class FitConfig(StepConfig):
    depth: int = 3


class FitStep(Step):
    config: FitConfig
    schema: ClassVar[type] = dict
    limit: ClassVar[float] = 1.0
    _secret = 1

    @final
    def run(self, *, rows: int) -> float:
        return self._scale(call(self.fit, rows=rows) * call(self.weight, rows=rows))

    @hook(since="0.1", returns="a float")
    def fit(self, *, rows: int) -> float:
        return float(rows)

    @hook(since="0.1", returns="a float")
    def weight(self, *, rows: int) -> float:
        return 1.0

    def _scale(self, x: float) -> float:
        return x


class OtherStep(Step):
    @final
    def run(self, *, rows: int) -> str:
        return ""


class RunMixin:
    def run(self, **inputs: Any) -> float:
        return -1.0


class HookedRunMixin:
    @hook(since="9", returns="anything")
    def run(self, *, rows: int) -> float:
        return -1.0


class SwallowingMixin:
    def __init_subclass__(cls) -> None:
        pass


class GetattrMixin:
    def __getattr__(self, name: str) -> Any:
        return None


class ScaleMixin:
    def _scale(self, x: float) -> float:
        return 0.0


class MisspeltMixin:
    def weights(self, *, rows: int) -> float:
        return 2.0


def make(**body: Any) -> Callable[[], type]:
    return lambda: type("Team", (FitStep,), body)


def with_mixin(mixin: type, behind: bool = False) -> Callable[[], type]:
    bases = (FitStep, mixin) if behind else (mixin, FitStep)
    return lambda: type("Team", bases, {})


async def _async(self: Any, *, rows: int) -> float:
    return 1.0


def _generator(self: Any, *, rows: int) -> Any:
    yield 1.0


def _positional_only(self: Any, rows: int, /) -> float:
    return 1.0


def _fits(self: Any, *, rows: int) -> float:
    return 1.0


@functools.wraps(FitStep.fit)
def _pretends(self: Any, frame: int) -> float:
    return 1.0


class Callable_:
    def __call__(self, *, rows: int) -> float:
        return 1.0


REFUSED = {
    "private name of the base": make(_scale=lambda self, x: 0.0),
    "private data of the base": make(_secret=2),
    "run": make(run=lambda self, *, rows: 0.0),
    "run as a partial": make(run=functools.partial(lambda rows: 0.0)),
    "run as data": make(run=3),
    "run reopened as a hook": make(run=hook(since="9", returns="x")(HookedRunMixin.run)),
    "run in a mixin": with_mixin(RunMixin),
    "run in a mixin that calls it a hook": with_mixin(HookedRunMixin),
    "private name in a mixin": with_mixin(ScaleMixin),
    "misspelt hook in a mixin": with_mixin(MisspeltMixin),
    "mixin that swallows __init_subclass__": with_mixin(SwallowingMixin),
    "mixin with __getattr__": with_mixin(GetattrMixin),
    "mixin with __getattr__ behind": with_mixin(GetattrMixin, behind=True),
    "run of another step": lambda: type("Team", (FitStep, OtherStep), {}),
    "__init__": make(__init__=lambda self: None),
    "__new__": make(__new__=lambda cls, *a: object.__new__(cls)),
    "__getattribute__": make(__getattribute__=lambda self, name: None),
    "__getattr__": make(__getattr__=lambda self, name: None),
    "__setattr__": make(__setattr__=lambda self, name, value: None),
    "__call__": make(__call__=lambda self: None),
    "__init_subclass__": make(__init_subclass__=classmethod(lambda cls: None)),
    "__class__": make(__class__=int),
    "__reduce__": make(__reduce__=lambda self: None),
    "config_model": make(config_model=classmethod(lambda cls: StepConfig)),
    "inputs": make(inputs=lambda: {}),
    "config as data": make(config=FitConfig()),
    "context as data": make(context=None),
    "misspelt hook": make(weights=lambda self, *, rows: 1.0),
    "misspelt hook as a partial": make(weights=functools.partial(_fits)),
    "misspelt hook as data": make(weights=3),
    "misspelt hook as a property": make(weights=property(lambda self: 1.0)),
    "misspelt hook as a final method": make(weights=final(lambda self, *, rows: 1.0)),
    "misspelt hook as a callable object": make(weights=Callable_()),
    "misspelt declared value": make(shema=int),
    "public helper": make(prepare=lambda self: None),
    "hook as data": make(fit=3),
    "hook as a partial": make(fit=functools.partial(_fits)),
    "hook as a callable object": make(fit=Callable_()),
    "hook as a property": make(fit=property(lambda self: 1.0)),
    "hook as a staticmethod": make(fit=staticmethod(lambda *, rows: 1.0)),
    "hook as a classmethod": make(fit=classmethod(_fits)),
    "hook as a class": make(fit=int),
    "async hook": make(fit=_async),
    "generator hook": make(fit=_generator),
    "positional-only hook": make(fit=_positional_only),
    "hook with another argument": make(fit=lambda self, frame: 0.0),
    "hook with one argument more": make(fit=lambda self, *, rows, depth: 0.0),
    "hook without its argument": make(fit=lambda self: 0.0),
    "hook without self": make(fit=lambda *, rows: 0.0),
    "hook that pretends a signature": make(fit=_pretends),
    "hook opened again with a weaker contract": make(fit=hook(since="9", returns="x")(_fits)),
    "declared value as a method": make(limit=lambda self: 1.0),
    "declared value as a property": make(limit=property(lambda self: 1.0)),
    "a metaclass of its own": lambda: _with_metaclass(),
}


def _with_metaclass() -> type:
    meta = type("Meta", (type(FitStep),), {"__setattr__": type.__setattr__})
    return meta("Team", (FitStep,), {})  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", REFUSED)
def test_override_of_a_closed_name_is_refused_with_class_file_line_and_mend(case: str) -> None:
    with pytest.raises(OverrideError) as refused:
        REFUSED[case]()
    assert re.search(r"`\w+(\.\w+)?` \(\S*test_guard_overrides\.py:\d+\)", refused.value.what), refused.value.what
    assert refused.value.fix


def test_misspelt_hook_is_told_its_right_name_and_its_own_line() -> None:
    with pytest.raises(OverrideError) as refused:

        class Team(FitStep):
            def weights(self, *, rows: int) -> float:
                return 2.0

    line = test_misspelt_hook_is_told_its_right_name_and_its_own_line.__code__.co_firstlineno + 4
    assert f"`Team.weights` ({__file__}:{line}) is not an open hook" in str(refused.value)
    assert "rename it to `weight`" in str(refused.value)


@pytest.mark.parametrize("name", ["run", "fit", "_scale", "anything", "__init__", "__bases__", "config"])
def test_assignment_to_a_class_after_its_creation_is_refused(name: str) -> None:
    team = make()()
    for cls in (FitStep, team):
        with pytest.raises(OverrideError, match="after the class was made"):
            setattr(cls, name, _fits)


def test_deleting_a_name_of_a_class_is_refused() -> None:
    with pytest.raises(OverrideError, match="deleted"):
        del FitStep.fit


@pytest.mark.parametrize("name", ["fit", "run", "_scale", "limit", "__class__"])
def test_assignment_on_self_that_hides_a_name_of_the_class_is_refused(name: str) -> None:
    with pytest.raises(OverrideError, match="would hide"):
        setattr(FitStep(), name, _fits)


def test_hook_smuggled_into_the_instance_dict_is_refused_when_called() -> None:
    made = FitStep()
    made.__dict__["fit"] = lambda *, rows: 5.0
    with pytest.raises(OverrideError, match="not a hook of"):
        made.run(rows=1)


def test_own_helpers_constants_and_declared_values_are_free() -> None:
    class Team(FitStep):
        schema = dict
        limit = 2.0
        FLOOR = 0.2

        def fit(self, *, rows: int) -> float:
            self.seen = rows
            return self._own(super().fit(rows=rows))

        def _own(self, x: float) -> float:
            return max(x, self.FLOOR) * self.limit

    assert Team().run(rows=3) == 6.0


def _logged(method: Callable[..., float]) -> Callable[..., float]:
    @functools.wraps(method)
    def inner(*args: Any, **kwargs: Any) -> float:
        return method(*args, **kwargs) + 1

    return inner


def _bare(method: Callable[..., float]) -> Callable[..., float]:
    return lambda *args, **kwargs: method(*args, **kwargs) + 1


@pytest.mark.parametrize("decorator", [_logged, _bare])
def test_hook_under_a_decorator_is_accepted_and_called(decorator: Callable[..., Any]) -> None:
    class Team(FitStep):
        @decorator
        def fit(self, *, rows: int) -> float:
            return float(rows)

    assert Team().run(rows=3) == 4.0


def test_hook_in_a_mixin_is_accepted_when_its_signature_fits() -> None:
    class Mixin:
        def weight(self, *, rows: int) -> float:
            return 10.0

    class Team(Mixin, FitStep):
        pass

    assert Team().run(rows=3) == 30.0


def test_decorated_hook_whose_inner_signature_does_not_fit_is_refused() -> None:
    with pytest.raises(OverrideError, match="takes"):
        make(fit=_logged(lambda self, *, frame: 0.0))()


@pytest.mark.parametrize(
    "run",
    [lambda self, *, rows: 1.0, _async, _generator, property(lambda self: 1.0)],
    ids=["untyped", "async", "generator", "property"],
)
def test_run_of_a_new_step_is_keyword_only_typed_and_plain(run: Any) -> None:
    if callable(run):
        run.__final__ = True
    with pytest.raises(OverrideError, match="run"):
        type("New", (Step,), {"run": run})


def test_run_that_takes_inputs_by_position_is_refused() -> None:
    with pytest.raises(OverrideError, match="keyword-only"):

        class New(Step):
            @final
            def run(self, rows: int) -> float:
                return 1.0


def test_hook_that_takes_arguments_by_position_is_refused() -> None:
    with pytest.raises(OverrideError, match="by position"):

        class New(Step):
            @hook(since="0.1", returns="x")
            def fit(self, rows: int) -> float:
                return 1.0


def test_config_that_only_a_type_checker_can_see_is_refused_with_the_mend() -> None:
    class Team(FitStep):
        config: "Unknown"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(OverrideError, match="TYPE_CHECKING"):
        Team.config_model()


def test_declared_value_that_nobody_set_is_refused_when_the_step_is_made() -> None:
    class Needs(Step):
        feature_set: ClassVar[type]

    class Team(Needs):
        pass

    with pytest.raises(OverrideError, match=r"`Team` \(.*\) does not set `feature_set`"):
        Team()


def test_other_rooms_guard_their_classes_with_one_base() -> None:
    class Service(Guarded):
        name: ClassVar[str] = ""

        @final
        def answer(self) -> int:
            return 1

        @hook(since="0.1", returns="an int")
        def decide(self, *, score: float) -> int:
            return 1

    class Team(Service):
        name = "team"

        def decide(self, *, score: float) -> int:
            return 2

    assert Team().decide(score=1.0) == 2
    with pytest.raises(OverrideError, match="closed name of `Service`"):
        type("Bad", (Service,), {"answer": lambda self: 2})
    with pytest.raises(OverrideError, match="after the class"):
        Team.answer = lambda self: 2  # type: ignore[method-assign,misc,assignment]


def test_class_decorators_of_the_standard_library_still_work() -> None:
    @final
    class Team(FitStep):
        pass

    assert Team().run(rows=2) == 2.0


class Pair(NamedTuple):
    left: int
    right: str


def test_inputs_outputs_and_required_are_read_from_run() -> None:
    class Two(Step):
        @final
        def run(self, *, rows: int, extra: str = "") -> Pair:
            return Pair(rows, extra)

    assert Two.inputs() == {"rows": int, "extra": str}
    assert Two.outputs() == {"left": int, "right": str}
    assert Two.required() == {"rows"}
    assert OtherStep.outputs() == {"output": str}
