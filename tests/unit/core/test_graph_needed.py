"""What a slot needs, in the order of `build`."""

from typing import final

from carrental_mlops.core import Pipeline, Step, StepConfig, step
from carrental_mlops.core.binding import with_defaults
from carrental_mlops.core.wiring import trace


class SizeConfig(StepConfig):
    size: int = 3


class Begin(Step):
    config: SizeConfig

    @final
    def run(self) -> int:
        return self.config.size


class Add(Step):
    @final
    def run(self, *, left: int, right: int) -> int:
        return left + right


class Fork(Pipeline):
    name = "fork"
    end = step(Add)
    a = step(Begin)
    b = step(Begin)
    aside = step(Add)

    def build(self) -> None:
        a, b = self.a.run(), self.b.run()
        self.aside.run(left=b, right=b)
        self.end.run(left=a, right=a)


def test_a_slot_needs_itself_and_all_that_reaches_it_and_nothing_aside() -> None:
    graph = trace(Fork)
    assert graph.needed("end") == ["a", "end"]
    assert graph.needed("aside") == ["b", "aside"]
    assert graph.needed("a") == ["a"]
    assert graph.needed() == ["a", "b", "aside", "end"]


def test_a_slot_without_a_config_has_its_defaults() -> None:
    configs = with_defaults(Fork, {"a": SizeConfig(size=5)})
    assert {slot: c.model_dump() for slot, c in configs.items()} == {
        "end": {}, "a": {"size": 5}, "b": {"size": 3}, "aside": {},
    }  # fmt: skip
