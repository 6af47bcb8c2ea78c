"""Typed clients of a service, made from its OpenAPI document alone."""

from carrental_mlops.serving.clients.generate import LANGUAGES, Generated, generate, read_document

__all__ = ["LANGUAGES", "Generated", "generate", "read_document"]
