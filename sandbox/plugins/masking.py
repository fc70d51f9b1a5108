"""Keeps secrets out of what the user reads."""

from collections.abc import Iterator

from sandbox.plugins import connection
from sandbox.plugins.values import Json, Properties, is_secret, reveal

_SHORTEST = 3
"""Characters; the engine does not hide a shorter secret either, because it would hide too much besides."""


class Mask:
    """Replaces the secrets among some properties in a text, also where only a line of one is in it."""

    def __init__(self, *properties: Properties) -> None:
        texts = {text for each in properties for text in _secrets(each)}
        self._texts = sorted((text for text in texts if len(text) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Returns a text without the secrets."""
        for each in self._texts:
            text = text.replace(each, "[secret]")
        return text


def _secrets(properties: Properties) -> Iterator[str]:
    # A connection is secret as a whole, but its host and its user are needed to understand what is wrong with it.
    rest = {name: value for name, value in properties.items() if name != "connection"}
    for text in (*_strings(rest, hidden=False), *connection.credentials(reveal(properties.get("connection")) or {})):
        yield text
        yield from text.splitlines()


def _strings(value: Json, *, hidden: bool) -> Iterator[str]:
    """Yields the strings that are in secret values."""
    if is_secret(value):
        yield from _strings(value.get("value"), hidden=True)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item, hidden=hidden)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, hidden=hidden)
    elif isinstance(value, str) and hidden:
        yield value
