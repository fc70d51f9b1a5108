from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from kubernetes import watch

from sandbox import router


def test_a_watch_goes_on_when_the_api_server_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: Iterator[list[str] | Exception] = iter([["first"], ["second"], ConnectionError("gone")])

    def stream(_: object, lister: object) -> Iterator[str]:  # noqa: ARG001 - as the library has it
        events = next(streams)
        if isinstance(events, Exception):
            raise events
        yield from events

    monkeypatch.setattr(watch.Watch, "stream", stream)
    changes: SimpleQueue[Exception | None] = SimpleQueue()

    router._watch(lambda: None, changes)

    reported = [changes.get_nowait() for _ in range(changes.qsize())]
    assert reported.count(None) >= 2
    assert isinstance(reported[-1], ConnectionError)
