"""Carries out the steps of plans in the calling thread."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import cast

import httpx

from escrowd.sdk.clock import Clock
from escrowd.sdk.http import Bearer, drawn, failure_of, to_send
from escrowd.sdk.retries import Retries
from escrowd.sdk.steps import (
    Course,
    Give,
    ItemT,
    Listen,
    Outcome,
    Pause,
    Read,
    Request,
    ResultT,
    Send,
    Series,
    Step,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, over which connections, how patiently. Threads may share it."""

    http: httpx.Client
    token: Bearer
    retries: Retries
    clock: Clock

    def result(self, course: Course[ResultT]) -> ResultT:
        """Carry out a plan and return its result."""
        outcome: Outcome | None = None
        with closing(_Line(self)) as line:
            while True:
                try:
                    step = next(course) if outcome is None else course.send(outcome)
                except StopIteration as end:
                    return cast(ResultT, end.value)
                outcome = line.take(step)

    def items(self, series: Series[ItemT]) -> Generator[ItemT, None, None]:
        """Carry out a plan and yield what it gives."""
        outcome: Outcome | None = None
        with closing(_Line(self)) as line:
            while True:
                try:
                    step = next(series) if outcome is None else series.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Give):
                    yield from step.items
                    outcome = Outcome()
                else:
                    outcome = line.take(step)


# ---------------------------------------------------------------------------------------------------------------------


class _Line:
    """What one plan has open: an answer that it listens to, or nothing."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._heard: httpx.Response | None = None
        self._parts: Iterator[bytes] | None = None

    def take(self, step: Step) -> Outcome:
        """Carry out one step, and say how long it took."""
        began = self._caller.clock.now()
        try:
            outcome = self._taken(step, began)
        except httpx.RequestError as error:
            outcome = Outcome(failure=failure_of(error))
        return replace(outcome, seconds=self._caller.clock.now() - began)

    def close(self) -> None:
        """End what is listened to."""
        if self._heard is not None:
            self._heard.close()
        self._parts = self._heard = None

    def _taken(self, step: Step, began: float) -> Outcome:
        match step:
            case Send():
                response = self._open(step.request, step.seconds)
                return self._whole(response, began + step.seconds)
            case Listen():
                self.close()
                response = self._open(step.request, step.silence)
                if not response.is_success:
                    return self._whole(response, began + step.silence)
                self._heard, self._parts = response, response.iter_bytes()
                return Outcome(status=response.status_code, headers=dict(response.headers))
            case Read():
                return Outcome(body=next(self._parts, b"") if self._parts is not None else b"")
            case Pause():
                self._caller.clock.sleep(drawn(step))
                return Outcome()

    def _open(self, request: Request, seconds: float) -> httpx.Response:
        http, token = self._caller.http, self._caller.token
        return http.send(to_send(http, request, seconds), auth=token, stream=True, follow_redirects=False)

    def _whole(self, response: httpx.Response, until: float) -> Outcome:
        """Read an answer to its end. The time-outs of httpx are for each part of it; a slow drip would have none."""
        body = bytearray()
        with closing(response):
            for part in response.iter_bytes():
                body += part
                if self._caller.clock.now() > until:
                    raise httpx.ReadTimeout("the answer did not come to its end in time")
        return Outcome(status=response.status_code, headers=dict(response.headers), body=bytes(body))
