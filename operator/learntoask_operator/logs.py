"""Structured logs: one JSON object per line on standard error, with the key of the object that the line is about."""

from __future__ import annotations

import logging
import sys

from learntoask.rpc.logs import JsonLines


class ObjectJsonLines(JsonLines):
    """Adds the logger, and the key of the object that a line is about."""

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields: dict[str, object] = {"logger": record.name}
        if hasattr(record, "object"):
            fields["object"] = record.object
        elif isinstance(about := getattr(record, "k8s_ref", None), dict):  # kopf's own lines
            fields["object"] = f"{about.get('kind')}/{about.get('namespace')}/{about.get('name')}"
        return fields


def log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ObjectJsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf logs every event that it sees, which would be most of the log.
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
