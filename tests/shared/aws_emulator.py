"""moto's server, with calls of Terraform's AWS provider that moto 5.2 lacks: subscribers and tags of a budget.

python aws_emulator.py -H 127.0.0.1 -p PORT
"""

from __future__ import annotations

import json
from typing import Any

from moto.budgets.responses import BudgetsResponse
from moto.server import main


def _describe_subscribers_for_notification(self: Any) -> str:
    """Source: AWS Budgets' API, DescribeSubscribersForNotification."""
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    asked = self._get_param("Notification")
    keys = ("NotificationType", "ComparisonOperator", "Threshold")
    found = [n for n in budget.notifications if all(n.details.get(key) == asked.get(key) for key in keys)]
    return json.dumps({"Subscribers": [subscriber for one in found for subscriber in one.subscribers]})


_tags: dict[str, list[dict[str, str]]] = {}
_create_budget = BudgetsResponse.create_budget


def _create_budget_with_tags(self: Any) -> str:
    """Source: AWS Budgets' API, CreateBudget."""
    name = f"arn:aws:budgets::{self._get_param('AccountId')}:budget/{self._get_param('Budget')['BudgetName']}"
    _tags[name] = self._get_param("ResourceTags", [])
    return str(_create_budget(self))


def _list_tags_for_resource(self: Any) -> str:
    """Source: AWS Budgets' API, ListTagsForResource."""
    return json.dumps({"ResourceTags": _tags.get(self._get_param("ResourceARN"), [])})


BudgetsResponse.create_budget = _create_budget_with_tags
BudgetsResponse.list_tags_for_resource = _list_tags_for_resource
BudgetsResponse.describe_subscribers_for_notification = _describe_subscribers_for_notification

if __name__ == "__main__":
    main()
