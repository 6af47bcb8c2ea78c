"""Images and actions that pipelines use, each held to one content: moved here, and nowhere else."""

from __future__ import annotations

PYTHON = {
    "3.11": "python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7",
    "3.12": "python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea",
}
"""Python version to image; the digest is that of the index of all platforms."""

ACTIONS = {
    "checkout": ("actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "python": ("actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "upload": ("actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02", "v4.6.2"),
    "download": ("actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093", "v4.3.0"),
    "sarif": ("github/codeql-action/upload-sarif@8aad20d150bbac5944a9f9d289da16a4b0d87c1e", "v4.36.2"),
    "cosign": ("sigstore/cosign-installer@d58896d6a1865668819e1d91763c7751a165e159", "v3.9.2"),
}
"""What it is for: the action by commit, and the version that the commit has."""
