"""What a query answers, through SQLAlchemy: a server-side cursor, a chunk at a time, no password in any message."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from carrental_mlops.errors import ConfigError, DataError, PlatformError, shown_url

if TYPE_CHECKING:
    import pyarrow as pa

URL = re.compile(r"^(postgresql|mysql|mariadb|sqlite|duckdb|trino|redshift|awsathena)(\+\w+)?://")
_CHUNK_ROWS = 50_000


def query_table(url: str, query: str, password_env: str | None = None, max_rows: int | None = None) -> pa.Table:
    """The answer to `query`; memory holds it once, as Arrow, and one chunk beside it.

    Args:
        url: of the database, without a password.
        query: SQL that reads.
        password_env: name of the environment variable that holds the password.
        max_rows: reading stops after the chunk that exceeds it.

    Raises:
        ConfigError: a password in `url`, an unset `password_env`, an unknown database, a driver not installed.
        DataError: the database refuses the query.
        PlatformError: it does not answer, or refuses the user; retryable.
    """
    import pandas as pd
    import pyarrow as pa
    import sqlalchemy

    password = _password(url, password_env)
    tables: list[pa.Table] = []
    with _explained(url, password):
        engine = sqlalchemy.create_engine(_with_password(url, password), poolclass=sqlalchemy.pool.NullPool)
        with engine.connect().execution_options(stream_results=True, max_row_buffer=_CHUNK_ROWS) as connection:
            for chunk in pd.read_sql_query(sqlalchemy.text(query), connection, chunksize=_CHUNK_ROWS):
                tables.append(_arrow(chunk, shown_url(url)))
                if max_rows is not None and sum(map(len, tables)) > max_rows:
                    break
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{shown_url(url)}: a column has several types: {error}", "cast it in steps.ingest.query"
        ) from error


def _arrow(chunk: Any, shown: str) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(chunk, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise DataError(f"{shown}: a column has several types: {error}", "cast it in steps.ingest.query") from error


def _password(url: str, name: str | None) -> str | None:
    if shown_url(url) != url:
        raise ConfigError(
            f"ingest: the password stands in the URL {shown_url(url)}, so in git, logs and run records",
            "change it, take it out of the URL, and name the environment variable that holds the new one: "
            "steps.ingest.password_env",
        )
    if name is None:
        return None
    if not os.environ.get(name):
        raise ConfigError(f"ingest: steps.ingest.password_env names {name}, which is not set", f"export {name}=…")
    return os.environ[name]


def _with_password(url: str, password: str | None) -> Any:
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    return parsed.set(password=password) if password else parsed


@contextmanager
def _explained(url: str, password: str | None) -> Iterator[None]:
    from sqlalchemy import exc

    shown = shown_url(url)

    def said(error: Exception) -> str:
        text = str(getattr(error, "orig", None) or error).strip()
        return text.replace(password, "***") if password else text

    try:
        yield
    except (exc.NoSuchModuleError, exc.ArgumentError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"ingest: {shown} cannot be used: {said(error)}",
            "mend steps.ingest.source, or add the database's SQLAlchemy driver to pyproject.toml",
        ) from None
    except (exc.ProgrammingError, exc.DataError) as error:
        raise DataError(f"ingest: {shown} refuses the query: {said(error)}", "mend steps.ingest.query") from None
    except exc.SQLAlchemyError as error:
        if url.startswith("sqlite"):  # a file: there is no server to wait for
            raise DataError(f"ingest: {shown}: {said(error)}", "mend steps.ingest.source or query") from None
        raise PlatformError(
            f"ingest: {shown}: {said(error)}",
            "check that the database is up, the URL, the user and the password behind steps.ingest.password_env",
            retryable=True,
        ) from None
