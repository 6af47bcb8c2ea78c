"""Every rule, one family a file."""

from carrental_mlops.governance import waivers
from carrental_mlops.governance.rule import Code, Rule
from carrental_mlops.governance.rules import (
    configuration,
    deployment,
    documents,
    evidence,
    features,
    files,
    hooks,
    secrets,
    supply_chain,
)

RULES: tuple[Rule, ...] = (
    configuration.RULE,
    files.RULE,
    hooks.RULE,
    features.RULE,
    deployment.RULE,
    secrets.RULE,
    supply_chain.LOCK,
    supply_chain.VULNERABILITIES,
    supply_chain.LICENCES,
    evidence.RULE,
    documents.RULE,
)
CODES: tuple[Code, ...] = tuple(
    sorted(
        {code for rule in RULES for code in rule.codes} | set(waivers.CODES),
        key=lambda code: code.number,
    )
)
"""Every kind of finding, by number."""
