"""Compares the old inputs of a resource with its new ones, path by path."""

import re
from collections.abc import Iterator

from sandbox.plugins.server import Change
from sandbox.plugins.values import UNKNOWN, Json, Properties, is_archive, is_asset


def changed_paths(old: Properties, new: Properties) -> dict[str, Change]:
    """Returns every path at which two property trees differ, in the notation of Pulumi.

    Lists are compared element by element. A value that is not known yet differs from any known one; where it takes
    the place of a map, the map's own entries are named, because only those existed.
    """
    return dict(_compare_maps("", old, new))


def _compare_maps(path: str, old: Properties, new: Properties) -> Iterator[tuple[str, Change]]:
    for key in sorted(old.keys() | new.keys()):
        below = join(path, key)
        if key not in new:
            yield below, Change.DELETE
        elif key not in old:
            yield below, Change.ADD
        else:
            yield from _compare(below, old[key], new[key])


def _compare(path: str, old: Json, new: Json) -> Iterator[tuple[str, Change]]:
    match old, new:
        case {"hash": was}, {"hash": now} if is_asset(old) or is_archive(old):
            # The engine leaves out what is there, and the path differs from machine to machine.
            if was != now:
                yield path, Change.UPDATE
        case dict(), dict():
            yield from _compare_maps(path, old, new)
        case list(), list():
            common = min(len(old), len(new))
            for index in range(common):
                yield from _compare(f"{path}[{index}]", old[index], new[index])
            for index in range(common, len(old)):
                yield f"{path}[{index}]", Change.DELETE
            for index in range(common, len(new)):
                yield f"{path}[{index}]", Change.ADD
        case dict(), str() if new == UNKNOWN and old:
            for key in sorted(old):
                yield join(path, key), Change.DELETE
        case _ if type(old) is not type(new) or old != new:
            yield path, Change.UPDATE


def property_name(path: str) -> str:
    """Returns the name of the property that a path is in."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def join(path: str, key: str) -> str:
    """Returns the path of an entry of the map at a path."""
    if not key.replace("_", "a").replace("-", "a").replace("$", "a").isalnum() or key[0].isdigit():
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
