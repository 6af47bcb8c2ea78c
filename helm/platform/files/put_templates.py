"""Puts index templates and retention into OpenSearch; again and again gives the same. Python's own library alone.

python3 put_templates.py URL FOLDER: FOLDER holds mappings.json and indices.json; OPENSEARCH_USERNAME and
OPENSEARCH_PASSWORD, where set, authenticate.
"""

import base64
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

_TLS = ssl.create_default_context()


def templates(mappings, wanted):
    """Name to index template: one a kind and data class; Jaeger makes those of its own indices."""
    settings = {"number_of_shards": wanted["shards"], "number_of_replicas": wanted["replicas"]}
    return {
        f"{kind}-{data_class}": {
            "index_patterns": [f"{kind}-{data_class}-*"],
            "priority": 100,
            "template": {"settings": {"index": settings}, "mappings": mappings[kind]},
            "_meta": {"data_class": data_class, "retention_days": days},
        }
        for kind, classes in wanted["retentionDays"].items()
        if kind in mappings
        for data_class, days in classes.items()
    }


def policies(wanted):
    """Name to retention policy (Index State Management): an index is deleted when it is old enough."""
    return {
        f"{kind}-{data_class}": {
            "policy": {
                "description": f"{kind} of data class {data_class}: {days} days",
                "default_state": "kept",
                "states": [
                    {
                        "name": "kept",
                        "actions": [],
                        "transitions": [{"state_name": "gone", "conditions": {"min_index_age": f"{days}d"}}],
                    },
                    {"name": "gone", "actions": [{"delete": {}}], "transitions": []},
                ],
                "ism_template": [{"index_patterns": [f"{kind}-{data_class}-*"], "priority": 100}],
            }
        }
        for kind, classes in wanted["retentionDays"].items()
        for data_class, days in classes.items()
    }


def ask(url, method="GET", body=None):
    """The answer as JSON, and its status."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)  # noqa: S310  the caller's own URL
    if user := os.environ.get("OPENSEARCH_USERNAME"):
        pair = f"{user}:{os.environ.get('OPENSEARCH_PASSWORD', '')}"
        request.add_header("authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30, context=_TLS) as answer:  # noqa: S310
            return json.loads(answer.read() or b"{}"), answer.status
    except urllib.error.HTTPError as error:
        return json.loads(error.read() or b"{}"), error.code


def put(url, body):
    """Write, and say so."""
    said, status = ask(url, "PUT", body)
    if status not in (200, 201):
        sys.exit(f"{url}: {status} {said}")
    print(f"{url}: {status}")  # noqa: T201  the job's log


def put_policy(url, body):
    """Write a policy; one that is there is changed by its version."""
    there, status = ask(url)
    if status == 200:
        url += f"?if_seq_no={there['_seq_no']}&if_primary_term={there['_primary_term']}"
    put(url, body)


def main(url, folder):
    """Templates, then policies where the server has Index State Management."""
    mappings = json.loads((Path(folder) / "mappings.json").read_text())
    wanted = json.loads((Path(folder) / "indices.json").read_text())
    for name, template in templates(mappings, wanted).items():
        put(f"{url}/_index_template/{name}", template)
    for name, policy in policies(wanted).items():
        put_policy(f"{url}/_plugins/_ism/policies/{name}", policy)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2])
