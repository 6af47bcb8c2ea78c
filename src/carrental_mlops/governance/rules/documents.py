"""Family 8: somebody answers for the service, and a newcomer can read what it does."""

from __future__ import annotations

import re
from collections.abc import Iterator

from carrental_mlops.errors import ConfigError
from carrental_mlops.governance.finding import Finding, Mend, Severity
from carrental_mlops.governance.mending import editing
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.view import RepoView
from carrental_mlops.scaffold.ownership import read_record

NO_README = Code(
    "CRM801", Severity.WARNING, "there is no README that says what the service does",
    "Who is on call at night reads it first.",
    "Write README.md: a heading, and below it two sentences on what the service decides and for whom.",
)  # fmt: skip
NO_OWNER = Code(
    "CRM802", Severity.WARNING, "nobody owns the service",
    "Alerts, vulnerabilities and upgrade requests go to the owner of crm.yaml.",
    "`crm config set owner=TEAM@EXAMPLE.COM`",
)  # fmt: skip
OWNER_NOT_TOLD = Code(
    "CRM803", Severity.NOTE, "the README does not name the owner",
    "Who reads it does not know whom to ask.",
    "Name the owner of crm.yaml in README.md.",
    fixes="changes the line `Owner: …` that the template made; adds it at the end of a README.md that names no owner.",
)  # fmt: skip
UNDOCUMENTED = Code(
    "CRM804", Severity.NOTE, "a module does not say what it is for",
    "A reviewer cannot tell whether the code does what it should.",
    "Begin the module with a docstring of one line.",
)  # fmt: skip
_NOBODY = re.compile(r"^(todo|tbd|tba|none|nobody|unknown|n/?a|change[-_ ]?me|xxx+|\?+|-+|(you|user|me)@.*)?$", re.I)


def _find(view: RepoView) -> Iterator[Finding]:
    owner = view.config.owner.strip() if view.config else None
    if owner is not None and _NOBODY.fullmatch(owner):
        line = view.line_of("config/crm.yaml", "owner:")
        yield NO_OWNER.found(f"owner is {owner!r}", "crm config set owner=TEAM@EXAMPLE.COM", "config/crm.yaml", line)
    readme = next((path for path in view.files if path.lower() in ("readme.md", "readme.rst")), None)
    text = view.text(readme) if readme else ""
    prose = [line for line in text.splitlines() if line.strip() and not re.match(r"\s*([#=|>*-]|```)", line)]
    if len(" ".join(prose).split()) < 10:
        what = f"{readme} says in no sentence what the service does" if readme else "README.md is not there"
        yield NO_README.found(what, "write what the service decides and for whom", readme or "README.md")
    elif owner and owner not in text:
        yield OWNER_NOT_TOLD.found(f"{readme} does not name {owner}", f"add a line: Owner: {owner}", readme,
                                   fix=_naming(view, readme or "", owner))  # fmt: skip
    for path in view.below(view.package, suffix=".py") if view.package else ():
        source = view.text(path).lstrip()
        if source and not re.match(r"(#.*\n\s*)*[rR]?(\"|')", source):
            yield UNDOCUMENTED.found(f"{path} has no docstring", "begin it with one line on what it is for", path, 1)


def _naming(view: RepoView, readme: str, owner: str) -> Mend | None:
    """Names the owner; None where the README names another one in words of the team's, or is no Markdown."""
    text = view.text(readme)
    said = re.compile(rf"\bOwner: {re.escape(_answered(view))}(?![\w@-]|\.\w)")
    if said.search(text):
        return editing(readme, lambda now: said.sub(lambda _: f"Owner: {owner}", now))
    if not readme.lower().endswith(".md") or re.search(r"\bowners?\b[*_`]*\s*[:|]", text, re.I):
        return None
    return editing(readme, lambda now: f"{now.rstrip()}\n\nOwner: {owner}\n")


def _answered(view: RepoView) -> str:
    """The owner whom the template wrote into the README."""
    try:
        return read_record(view.root).answers.get("owner") or "?"
    except ConfigError:
        return "?"


RULE = Rule("documents", (NO_README, NO_OWNER, OWNER_NOT_TOLD, UNDOCUMENTED), _find)
