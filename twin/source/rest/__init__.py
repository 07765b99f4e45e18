"""A table behind Supabase's REST → batches of rows in canonical form, through the official client.

What the server says is checked, as it cuts pages, hides rows and answers with the gateway's pages without a word: the
end is every row once or one error.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import tzinfo

from twin.source.rest.access import access, table_name
from twin.source.rest.session import Patience, opened
from twin.source.rest.source import RestSource, place_of

__all__ = ["Patience", "RestSource", "open"]


@contextmanager
def open(  # noqa: A001
    table: str,
    environ: Mapping[str, str],
    zone: tzinfo | None = None,
    allow_public_key: bool = False,
    *,
    patience: Patience | None = None,
) -> Iterator[RestSource]:
    """Open `table`, which is `name` or `schema.name`, as a LiveSource.

    `zone` is that of times that name none. A public key sees what row level security shows it: `note` then says so.

    Raises:
        ConfigError: address or key is missing or not usable, or the extra `rest` is not installed.
        DataError: the server does not answer, there is no row to see, or a required column is missing.
    """
    named = table_name(table)
    door = access(environ, allow_public_key)
    with opened(door, named[0], patience or Patience(), place_of(named)) as session:
        yield RestSource(session, door, named, zone)
