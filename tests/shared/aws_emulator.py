"""moto's server, with what moto 5.2 lacks of the calls of Terraform's AWS provider.

python aws_emulator.py -H 127.0.0.1 -p PORT
"""

from __future__ import annotations

import json
from typing import Any

from moto.budgets.responses import BudgetsResponse
from moto.s3.responses import S3Response
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


_get_notification = S3Response.get_bucket_notification


def _get_notification_with_eventbridge(self: Any) -> Any:
    """Source: S3's API, GetBucketNotificationConfiguration; moto keeps EventBridge and does not tell it."""
    found = self.backend.get_bucket_notification_configuration(self.bucket_name)
    if found is None or found.event_bridge is None:
        return _get_notification(self)
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    told = f'<NotificationConfiguration xmlns="{space}"><EventBridgeConfiguration/></NotificationConfiguration>'
    return 200, {"content-type": "application/xml"}, told


S3Response.get_bucket_notification = _get_notification_with_eventbridge
BudgetsResponse.create_budget = _create_budget_with_tags
BudgetsResponse.list_tags_for_resource = _list_tags_for_resource
BudgetsResponse.describe_subscribers_for_notification = _describe_subscribers_for_notification

if __name__ == "__main__":
    main()
