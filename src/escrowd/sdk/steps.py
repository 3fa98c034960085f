"""What a client does, as data: steps that a plan asks for, one after the other, and what came of each.

A plan is a generator: it yields a step and is sent its outcome. It does no I/O and knows no clock. So the same plan
serves the synchronous and the asynchronous client, and a test of it needs neither network nor time.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)
ResultT = TypeVar("ResultT")

#: The header that carries the retry key.
IDEMPOTENCY_KEY: Final = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without the token: that belongs to the client and is added at the last moment."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def idempotency_key(self) -> str | None:
        """What makes all tries of it one."""
        return self.headers.get(IDEMPOTENCY_KEY)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and read the whole answer, within so many seconds."""

    request: Request
    seconds: float


@dataclass(frozen=True, slots=True)
class Listen:
    """Send a request and leave the answer open if it is a good one. Ends what was listened to before.

    For no more than so many seconds nothing may come, from the beginning to the end.
    """

    request: Request
    silence: float


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for the next part of the open answer. An empty part is its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a time between these two, in seconds, drawn by chance."""

    least: float
    most: float


Step = Send | Listen | Read | Pause


@dataclass(frozen=True, slots=True)
class Give(Generic[ItemT_co]):
    """Hand these to whoever iterates."""

    items: tuple[ItemT_co, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why no whole answer came."""

    reason: str
    #: Whether the request may have reached the server all the same.
    may_have_arrived: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step. ``status`` is 0 where there is no answer; names of headers are in lower case."""

    seconds: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Failure | None = None

    @property
    def is_good(self) -> bool:
        """Whether it is an answer of success."""
        return 200 <= self.status < 300


#: A plan that ends in one result.
Course = Generator[Step, Outcome, ResultT]
#: A plan that gives items on its way.
Series = Generator[Step | Give[ItemT], Outcome, None]
