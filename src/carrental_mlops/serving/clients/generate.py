"""From an OpenAPI document to one source file; nothing of the document becomes code unquoted."""

from __future__ import annotations

import http.client
import json
import keyword
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrental_mlops.errors import ConfigError, PlatformError
from carrental_mlops.serving.interface import BOUNDS

LANGUAGES: Mapping[str, str] = {"python": "client.py.jinja", "typescript": "client.ts.jinja"}
"""Language to its template."""

_TYPES = {
    "python": {"FP64": "float", "INT64": "int", "BOOL": "bool", "BYTES": "str"},
    "typescript": {"FP64": "number", "INT64": "number", "BOOL": "boolean", "BYTES": "string"},
}
_TIMES = {"python": "str | datetime", "typescript": "string | Date"}
_NONE = {"python": "None", "typescript": "null"}
_TAKEN = {"id", "model_version", "modelVersion", "flags", "is_fallback", "isFallback"}
"""What an answer holds beside the outputs."""
_MOST = 4 << 20


@dataclass(frozen=True)
class Generated:
    """A client's source."""

    name: str
    """Of the file."""
    text: str


def read_document(source: str) -> dict[str, Any]:
    """The OpenAPI document at a URL or in a file.

    Raises:
        PlatformError: the URL does not answer.
        ConfigError: the file cannot be read, or it is no OpenAPI document of a service of ours.
    """
    fix = "name the URL or a file of it: curl -H 'authorization: Bearer …' http://HOST:PORT/openapi.json > openapi.json"
    try:
        if source.startswith(("http://", "https://")):
            with urllib.request.urlopen(source, timeout=10) as reply:  # noqa: S310, the scheme was checked
                text = reply.read(_MOST)
        else:
            text = Path(source).read_bytes()
        document = json.loads(text)
    except urllib.error.HTTPError as error:
        raise ConfigError(f"{source} answered {error.code}", fix) from None
    except urllib.error.URLError as error:
        raise PlatformError(f"{source} does not answer: {error.reason}", "start it: crm serve", True) from None
    except http.client.HTTPException as error:
        what = f"{source} does not answer as HTTP has it: {type(error).__name__}"
        raise PlatformError(what, "start it: crm serve", True) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source} is no OpenAPI document: {error}", fix) from None
    if not isinstance(document, dict) or not {"x-crm-fields", "x-crm-outputs", "paths", "info"} <= document.keys():
        raise ConfigError(f"{source} is no OpenAPI document of a service made with crm", fix)
    return document


def generate(document: Mapping[str, Any], language: str) -> Generated:
    """The client of the service that `document` describes.

    Args:
        document: as `/openapi.json` gives it.
        language: one of `LANGUAGES`.

    Raises:
        ConfigError: a field or output has a name that a program cannot have.
    """
    import jinja2

    title = str(document["info"]["title"])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701, no HTML: names are checked and texts quoted
    )
    environment.filters |= {"quoted": _quoted, "tojson": json.dumps}
    text = environment.get_template(LANGUAGES[language]).render(
        title=title,
        version=str(document["info"]["version"]),
        path=_infer_path(document),
        fields=[_field(told, language) for told in document["x-crm-fields"]],
        outputs=[_field({**told, "required": True}, language) for told in _outputs(document)],
        header=_identity_header(document),
    )
    stem = re.sub(r"\W+", "_", title).strip("_").lower() or "service"
    return Generated(f"{stem}_client.{'py' if language == 'python' else 'ts'}", text)


def _infer_path(document: Mapping[str, Any]) -> str:
    for path, methods in document["paths"].items():
        if methods.get("post", {}).get("operationId") == "infer":
            return str(path)
    raise ConfigError("the OpenAPI document has no operation `infer`", "take it from a running service: /openapi.json")


def _identity_header(document: Mapping[str, Any]) -> str | None:
    scheme = document.get("components", {}).get("securitySchemes", {}).get("caller", {})
    name = str(scheme.get("name", ""))
    return name if scheme.get("type") == "apiKey" and re.fullmatch(r"[\w-]+", name) else None


def _one_of(choices: list[Any], kind: str, language: str) -> str:
    if not all(isinstance(choice, str | int) for choice in choices):
        return kind
    if language == "python":
        return f"Literal[{', '.join(map(_quoted, choices))}]"
    return " | ".join(map(json.dumps, choices))


def _quoted(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) and value.isascii() else repr(value)


def _outputs(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for told in document["x-crm-outputs"]:
        if told["name"] in _TAKEN:
            raise ConfigError(f"an output cannot be named `{told['name']}`", f"not one of {', '.join(sorted(_TAKEN))}")
    return list(document["x-crm-outputs"])


def _field(told: Mapping[str, Any], language: str) -> dict[str, Any]:
    name, datatype = str(told["name"]), str(told["datatype"])
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise ConfigError(f"`{name}` cannot be the name of a field in a program", "rename it in the row contract")
    kind = _TYPES[language].get(datatype)
    if kind is None:
        raise ConfigError(f"field `{name}` has the unknown datatype {datatype!r}", "upgrade carrental-mlops here")
    if told.get("format") == "date-time":
        kind = _TIMES[language]
    elif choices := told.get("enum", [told["const"]] if "const" in told else []):
        kind = _one_of(choices, kind, language)
    bounds = {name: told[name] for name in BOUNDS if name in told and name not in ("format", "enum", "const")}
    return {
        "name": name,
        "datatype": datatype,
        "required": bool(told["required"]),
        "type": f"{kind} | {_NONE[language]}" if told.get("null") else kind,
        "bounds": ", ".join(f"{n} {json.dumps(v)}" for n, v in bounds.items()).replace("*/", "* /"),
    }
