"""The frame of a verification: checks that run side by side, each after those it builds on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import asyncssh
import httpx
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

Value = TypeVar("Value")

ACT_SECONDS = 10
"""How long one act on the network may take."""
CHECK_SECONDS = 60
"""How long one check may take, without its wait for others."""


class Section(StrEnum):
    """Parts of a registry, in the order of the report."""

    CLUSTER = "cluster"
    ENDPOINTS = "endpoints"
    IMAGES = "images"
    NODES = "nodes"


@dataclass(frozen=True)
class Place:
    """What checks are about.

    Attributes:
        section: Part of the registry it belongs to.
        name: Name of the endpoint, the node or whatever it is.
    """

    section: Section
    name: str


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Proved(Generic[Value]):
    """What a proof saw.

    Attributes:
        detail: It in words, for the report.
        value: What other checks build on.
    """

    detail: str
    value: Value


Proof = Callable[[], Proved[Value] | Awaitable[Proved[Value]]]
"""Says what it saw, or raises Fault or NotTried."""


class Fault(Exception):  # noqa: N818 - a finding
    """Something is wrong.

    Attributes:
        mend: What the user can do.
    """

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.mend = mend


class NotTried(Exception):  # noqa: N818 - no error
    """The proof cannot be had; the message says why."""


class Check(Generic[Value]):
    """One thing to prove about a place.

    Attributes:
        place: The place.
        name: What is proved.
        outcome: How it ended.
        detail: What was seen, what is wrong, or why it was not tried.
        mend: What the user can do about a failure; empty otherwise.
        seconds: How long it took, without the wait for other checks.
    """

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.outcome = Outcome.NOT_TRIED
        self.detail = ""
        self.mend = ""
        self.seconds = 0.0
        self._ended = asyncio.Event()
        self._proved: Proved[Value] | None = None

    @property
    def passed(self) -> bool:
        """Whether it has ended well."""
        return self.outcome is Outcome.PASSED

    @property
    def value(self) -> Value:
        """What it proved; only a check that passed has it."""
        assert self._proved  # noqa: S101
        return self._proved.value

    @property
    def because(self) -> str:
        """The failure at the root of its not having passed."""
        return f"{self.name} of {self.place.name} failed" if self.outcome is Outcome.FAILED else self.detail

    async def end(self) -> None:
        """Waits until it has ended, well or not."""
        await self._ended.wait()

    async def run(
        self, proof: "Proof[Value]", needs: Sequence["Check[Any]"], after: Sequence["Check[Any]"], seconds: float
    ) -> None:
        """Proves it once all that it needs has ended, and only if all of that passed."""
        for earlier in (*needs, *after):
            await earlier.end()
        started = time.monotonic()
        try:
            for need in needs:
                if not need.passed:
                    raise NotTried(need.because)  # noqa: TRY301
            async with asyncio.timeout(seconds):
                found = proof()
                self._proved = found if isinstance(found, Proved) else await found
            self.outcome, self.detail = Outcome.PASSED, self._proved.detail
        except NotTried as cause:
            self.outcome, self.detail = Outcome.NOT_TRIED, str(cause)
        except Fault as fault:
            self.outcome, self.detail, self.mend = Outcome.FAILED, str(fault), fault.mend
        except TimeoutError:
            self.outcome, self.detail = Outcome.FAILED, f"no end within {time.monotonic() - started:.0f} s"
        except (OSError, httpx.HTTPError, asyncssh.Error, ApiException, HTTPError) as error:
            self.outcome, self.detail = Outcome.FAILED, reason(error)
        finally:
            self.seconds = time.monotonic() - started
            self._ended.set()


def reason(error: Exception) -> str:
    """Why an act on the network failed, in words."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ACT_SECONDS} s"
    return str(error) or type(error).__name__


class Verification:
    """The checks of one run."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._checks: list[Check[Any]] = []
        self._tasks = tasks

    @property
    def in_order(self) -> list[Check[Any]]:
        """The checks by section and place, those of a place in the order in which they were started."""
        sections, places = list(Section), list(dict.fromkeys(check.place for check in self._checks))
        return sorted(self._checks, key=lambda check: (sections.index(check.place.section), places.index(check.place)))

    @property
    def started(self) -> list[Check[Any]]:
        """The checks that have been started by now."""
        return list(self._checks)

    def start(
        self,
        place: Place,
        name: str,
        proof: Proof[Value],
        *needs: Check[Any],
        after: Sequence[Check[Any]] = (),
        seconds: float = CHECK_SECONDS,
    ) -> Check[Value]:
        """Starts a check.

        Args:
            place: What it is about.
            name: What is proved.
            proof: What proves it.
            needs: What has to pass before; their values are there when the proof is asked for.
            after: What has to end before, well or not.
            seconds: Limit of the proof.

        Returns:
            The check, which others can build on.
        """
        check: Check[Value] = Check(place, name)
        self._checks.append(check)
        self._tasks.create_task(check.run(proof, needs, after, seconds))
        return check
