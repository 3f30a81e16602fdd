"""Kinds of values in the chart: what a person may write for a duration, an image digest, a CIDR block and so on.

A line `# @schema {"is": "cidr"}` in values.yaml names one. Each is a JSON schema whose pattern Helm's regular
expressions (RE2) understand. What it accepts, the operator, `lta` or the API server accepts too.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_NAME = "[a-z0-9]([-a-z0-9.]*[a-z0-9])?"  # of Secrets, ConfigMaps, service accounts, classes
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_PART = "[a-z0-9]+([._-]+[a-z0-9]+)*"  # of an image's path
_HOST = "([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:]+\\])(:[0-9]+)?"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = f"{_OCTET}(\\.{_OCTET}){{3}}/(3[0-2]|[12]?[0-9])"
_HEX = "[0-9a-fA-F]{1,4}"
_V6 = f"({_HEX}(:{_HEX}){{7}}|({_HEX}(:{_HEX}){{0,6}})?::({_HEX}(:{_HEX}){{0,6}})?)/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_KEY = f"({_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = "([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_TERM = f"(!?{_KEY}|{_KEY}\\s*(=|==|!=)\\s*{_VALUE}|{_KEY}\\s+(in|notin)\\s+\\(\\s*{_VALUE}(\\s*,\\s*{_VALUE})*\\s*\\))"
_SELECTOR: Json = {
    "type": "object",
    "properties": {"matchLabels": {"is": "labels"}, "matchExpressions": {"type": "array"}},
    "additionalProperties": False,
}
_KINDS: dict[str, Json] = {
    "registry": {"type": "string", "pattern": f"^({_HOST}(/{_PART})*)?$"},
    "repository": {"type": "string", "pattern": f"^({_HOST}/)?{_PART}(/{_PART})*$"},
    "tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"},
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "name": {"type": "string", "pattern": f"^({_NAME})?$", "maxLength": 253},
    "label": {"type": "string", "pattern": f"^({_LABEL})?$", "maxLength": 63},
    "namespace": {"type": "string", "pattern": f"^{_LABEL}$", "maxLength": 63},
    "serviceName": {"type": "string", "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$", "maxLength": 63},
    "host": {"type": "string", "pattern": f"^([*][.])?{_NAME}$", "maxLength": 253},
    "duration": {"type": "string", "pattern": "^([0-9]+h([0-9]+m)?([0-9]+s)?|[0-9]+m([0-9]+s)?|[0-9]+s)$"},
    "prometheusDuration": {
        "type": "string",
        "pattern": "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        "minLength": 2,
    },
    "labelSelector": {"type": "string", "pattern": f"^({_TERM}(\\s*,\\s*{_TERM})*)?$"},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "cidr": {"type": "string", "pattern": f"^({_V4}|{_V6})$"},
    "quantity": {
        "type": ["string", "number"],
        "minimum": 0,
        "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]+)?$",
    },
    "quantities": {"additionalProperties": {"is": "quantity"}},
    "strings": {"additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    "labels": {
        "additionalProperties": {
            "type": ["string", "number", "boolean", "null"],
            "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
        }
    },
    "variable": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[^=]+$"},
            "value": {"type": "string"},
            "valueFrom": {"type": "object"},
        },
        "additionalProperties": False,
    },
    "peer": {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "ipBlock": {
                "type": "object",
                "required": ["cidr"],
                "properties": {
                    "cidr": {"is": "cidr"},
                    "except": {"type": "array", "items": {"is": "cidr"}},
                },
                "additionalProperties": False,
            },
            "podSelector": _SELECTOR,
            "namespaceSelector": _SELECTOR,
        },
        "additionalProperties": False,
    },
    "egressRule": {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"is": "peer"}},
            "ports": {"type": "array", "items": {"type": "object"}},
        },
        "additionalProperties": False,
    },
}


def expanded(schema: Any) -> Any:
    """Return the schema with every `"is"` replaced by that kind's schema. Raises KeyError for an unknown kind."""
    if isinstance(schema, list):
        return [expanded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kind = expanded(_KINDS[schema["is"]]) if "is" in schema else {}
    return {**kind, **{name: expanded(part) for name, part in schema.items() if name != "is"}}
