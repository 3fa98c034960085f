"""Multisig messages on the wire. Their shape comes with own custody."""

from pydantic import ConfigDict

from escrowd.wire.values import Request


class AnyMessage(Request):
    """Any object: it is refused, whatever it holds."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
