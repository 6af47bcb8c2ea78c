"""The peer of `step_cost.py`: fifty plain ZenML steps; ZenML wants them at the top of a module."""

from zenml import pipeline, step


@step
def one() -> int:
    return 1


@step
def increment(number: int) -> int:
    return number + 1


@pipeline(enable_cache=False)
def plain() -> None:
    number = one()
    for _ in range(49):
        number = increment(number)
