"""Family 3, and what steps take of crm.yaml: hooks' contracts and wiring. The repo is imported by another process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from carrental_mlops.errors import PlatformError
from carrental_mlops.governance.apart.process import ask
from carrental_mlops.governance.finding import Finding, Severity
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView

SETTING = Code(
    "CRM102", Severity.ERROR, "a step's setting does not hold in an environment",
    "The run of that environment stops before its first step.",
    "Edit the line that is named; `crm config explain steps.STEP.KEY` says what it takes.",
)  # fmt: skip
NOT_IMPORTED = Code(
    "CRM301", Severity.ERROR, "the repo's pipelines cannot be imported",
    "Nothing runs, and nothing else of the repo's code could be checked.",
    "Mend the line that is named; `make test` shows the whole traceback.",
)  # fmt: skip
NOT_WIRED = Code(
    "CRM302", Severity.ERROR, "a pipeline is wired wrongly",
    "A slot gets what does not fit it, or the class cannot even be made.",
    "`crm pipelines show NAME` draws what there is; connect the slot that is named.",
)  # fmt: skip
STEP = Code(
    "CRM303", Severity.ERROR, "a step or an override breaks its contract",
    "The engine cannot store, cache or find the step, or the override is never called.",
    "`crm hooks STEP` prints signature and contract of each hook.",
)  # fmt: skip
SERVICE = Code(
    "CRM304", Severity.ERROR, "the service breaks its contract",
    "Production answers otherwise than training scored: a row alone is not what it is in a batch.",
    "`decide`, `rules` and `reasons` answer each row from that row alone, and import nothing heavy.",
)  # fmt: skip
FEATURES = Code(
    "CRM305", Severity.ERROR, "the features break their contract",
    "Training and service see different values of one feature.",
    "Make `compute` element-wise: numpy functions of each row alone, no sums, no sorting, no state.",
)  # fmt: skip
UNUSED = Code(
    "CRM306", Severity.WARNING, "an override is in no pipeline",
    "It looks as if it did something, and the default runs.",
    "Put its class into a slot of pipelines.py, `train = step(MyTrain)`, or delete it.",
)  # fmt: skip
NOT_CHECKED = Code(
    "CRM309", Severity.ERROR, "hooks and wiring could not be checked",
    "Nobody knows whether the repo's code keeps its contracts.",
    "`crm doctor` says what is missing here.", passing=True,
)  # fmt: skip
CODES = (SETTING, NOT_IMPORTED, NOT_WIRED, STEP, SERVICE, FEATURES, UNUSED, NOT_CHECKED)


def _find(view: RepoView) -> Iterator[Finding]:
    by_number = {code.number: code for code in CODES}
    try:
        told = ask("hooks", view.root)
    except PlatformError as error:
        yield NOT_CHECKED.found(error.what, error.fix)
        return
    for one in told:
        yield by_number[one["code"]].found(one["what"], one["mend"], one["path"], one["line"])


def _reads(view: RepoView) -> tuple[str, ...]:
    return (*view.below("src"), *view.below("config"), ".crm.json")


def _outside(view: RepoView) -> str:
    """Which libraries are there: the names of what is installed beside this package."""
    from importlib.metadata import distributions

    return f"{sys.path} {sorted(str(getattr(one, '_path', one)) for one in distributions())}"


RULE = Rule("hooks", CODES, _find, _reads, _outside, apart=True)
