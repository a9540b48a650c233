"""Structured logs: one JSON object a line on standard output, uvicorn's own lines included."""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def _rename(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put ``ts``, ``level``, ``service`` and ``event`` first: that is how people read a line."""
    event.pop("color_message", None)  # uvicorn's, for terminals
    first = {key: event.pop(key) for key in ("ts", "level", "service", "event") if key in event}
    return {**first, **event}


class _StandardOutput(logging.Handler):
    """Writes to whatever is standard output at that moment: tests and supervisors replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(f"{self.format(record)}\n")
            sys.stdout.flush()
        except (OSError, ValueError, TypeError):
            self.handleError(record)


def configure(service: str, level: str = "INFO") -> None:
    """Log as JSON lines from now on, in the name of ``service``.

    Fields: ``ts`` (UTC, ISO 8601), ``level``, ``service``, ``event``, ``logger``, and whatever is bound to the
    context (``request_id``) or given with the call.

    Raises:
        ValueError: ``level`` is no log level.
    """

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        add_service,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _StandardOutput()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # As text: structured tracebacks hold local variables, and those may hold secrets.
                structlog.processors.format_exc_info,
                _rename,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The middleware logs each request itself, with its id and duration.
    logging.getLogger("uvicorn.access").disabled = True
    # Migrations and polling would drown everything else.
    for name in ("alembic", "procrastinate"):
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
