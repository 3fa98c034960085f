"""Traces for OpenTelemetry: everything that came of one request, or of one piece of work, is one trace.

What comes of a request may come days later and in another process, so no context is handed on: the id of the trace is
made out of the cause that everything carries anyway. The packages are optional (``pip install escrowd[tracing]``).
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from escrowd import __version__
from escrowd.domain.errors import EscrowdError, Fault
from escrowd.service.observing import Done, Observer, nobody_wants_to_know


class TracingNotInstalled(EscrowdError):
    """The settings ask for traces, and the packages for that are not installed: pip install 'escrowd[tracing]'."""

    fault = Fault.OPERATOR


@contextmanager
def traces_to(endpoint: str | None, node: str) -> Iterator[Observer]:
    """Send a span for each piece of work to a collector, as long as the block lasts; without an endpoint, none.

    Raises:
        TracingNotInstalled: the packages are missing.

    """
    if endpoint is None:
        yield nobody_wants_to_know
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise TracingNotInstalled from None
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint))
    resource = Resource.create({"service.name": "escrowd", "service.version": __version__, "service.instance.id": node})
    try:
        yield lambda done: processor.on_end(_span(done, resource))
    finally:
        processor.shutdown()  # type: ignore[no-untyped-call] # it says of nothing what it takes: it takes nothing


# ---------------------------------------------------------------------------------------------------------------------


def _span(done: Done, resource: Any) -> Any:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, TraceFlags

    ended = time.time_ns()
    trace = int.from_bytes(hashlib.sha256(done.cause.encode()).digest()[:16], "big")
    span = int.from_bytes(hashlib.sha256(f"{done.cause} {done.name} {ended}".encode()).digest()[:8], "big")
    return ReadableSpan(
        name=done.name,
        context=SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)),
        resource=resource,
        attributes={"escrowd.cause": done.cause, **done.attributes},
        start_time=ended - int(done.seconds * 1e9),
        end_time=ended,
        instrumentation_scope=InstrumentationScope("escrowd", __version__),
    )
