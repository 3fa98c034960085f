"""Reads server-sent events from bytes that come in parts of any size, as the HTML standard says (9.2.6).

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import codecs
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. ``id`` is the last id that was seen, its own or an earlier one's."""

    type: str
    data: str
    id: str


class ServerEventReader:
    """Takes one stream apart, from its first byte to its last. What no empty line ended is lost, as it should be."""

    def __init__(self, last_id: str = "") -> None:
        #: The id after which to go on when the connection breaks: that of the last whole event.
        self.last_id = last_id
        #: Seconds before connecting again, where the server says so.
        self.reconnect_after: float | None = None
        # "utf-8-sig" drops one byte order mark at the beginning, as the standard wants.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line: list[str] = []
        self._ended_with_return = False
        self._type, self._data, self._id = "", list[str](), last_id

    def feed(self, part: bytes) -> tuple[ServerEvent, ...]:
        """Return the events that this part of the stream completes."""
        found = (self._take(line) for line in self._lines(self._decoder.decode(part)))
        return tuple(event for event in found if event is not None)

    def _lines(self, text: str) -> list[str]:
        """Return the lines that end in this text. A line ends with CR, LF, or both."""
        if self._ended_with_return and text.startswith("\n"):
            text = text[1:]
            self._ended_with_return = False
        if text:
            self._ended_with_return = text.endswith("\r")
        *whole, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if whole:
            whole[0] = "".join((*self._line, whole[0]))
            self._line.clear()
        self._line.append(rest)
        return whole

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatched()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        # A line that begins with a colon is a comment; its name is empty.
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.reconnect_after = int(value) / 1000
            case _:
                pass
        return None

    def _dispatched(self) -> ServerEvent | None:
        self.last_id = self._id
        event = ServerEvent(self._type or "message", "\n".join(self._data), self._id) if self._data else None
        self._type, self._data = "", []
        return event
