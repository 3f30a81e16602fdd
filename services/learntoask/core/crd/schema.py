"""Conversion of a pydantic model to the structural OpenAPI v3 schema of a CustomResourceDefinition.

Every string, list and mapping gets a largest size. The API server estimates the cost of each CEL rule from the sizes
that the schema allows, and refuses a definition whose rules could cost too much.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from learntoask.core.crd.rules import BOUNDED_TIME, SOME_TIME, WITHOUT_CREDENTIALS, Rule, Rules, matching
from learntoask.core.manifest.address import ADDRESS_FORMAT
from learntoask.core.manifest.duration import DURATION_FORMAT, POSITIVE_DURATION_FORMAT
from learntoask.core.manifest.form import WORDS

Schema = dict[str, Any]
LONGEST_STRING = 4096
MOST_ITEMS = 256
MOST_PROPERTIES = 64
_KEPT = frozenset(
    {"type", "description", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems"}
)
_KEPT |= {"minProperties", "maxProperties", "minimum", "maximum", "multipleOf"}
_NAME: Schema = {"type": "string", "maxLength": 253, "description": "Its name."}
_RULES_OF_FORMAT = {
    ADDRESS_FORMAT: (WITHOUT_CREDENTIALS,),
    DURATION_FORMAT: (BOUNDED_TIME,),
    POSITIVE_DURATION_FORMAT: (BOUNDED_TIME, SOME_TIME),
}
_ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}


def structural_schema(model: type[BaseModel], rules: Mapping[str, Rules], *, defaults: bool) -> Schema:
    """Return the schema of `model`, with field names as in manifests and without references.

    `rules` maps class names to additions to their schemas. With `defaults` the schema contains the default values. A
    field that may be None is optional, not nullable, because the API server drops nulls. Raises ValueError for a field
    that a structural schema cannot express.
    """
    whole = model.model_json_schema(by_alias=True)
    return _Converter(whole.get("$defs", {}), rules, defaults).model(whole, model.__name__)


def _without_descriptions(properties: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schemas of an object's fields without the texts that describe them."""

    def bare(node: Any) -> Any:
        if isinstance(node, list):
            return [bare(child) for child in node]
        if not isinstance(node, dict):
            return node
        # A field may be called `description`, too, and is a schema then.
        return {
            name: bare(child)
            for name, child in node.items()
            if name != "description" or not isinstance(child, str)
        }

    return {name: bare(field) for name, field in properties.items()}


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema], rules: Mapping[str, Rules], defaults: bool) -> None:
        self._definitions = definitions
        self._rules = rules
        self._defaults = defaults

    def model(self, schema: Schema, path: str) -> Schema:
        rules = self._rules.get(schema["title"], Rules())
        named = {*rules.fields, *rules.reserved, *rules.keyed, *rules.named}
        if not named <= set(schema["properties"]):
            unknown = ", ".join(sorted(named - set(schema["properties"])))
            raise ValueError(f"{path}: there are rules for unknown fields: {unknown}")
        properties = {
            name: self._field(field, f"{path}.{name}", rules.fields.get(name, ()))
            for name, field in schema["properties"].items()
        }
        for name, forbidden in rules.reserved.items():
            properties[name]["not"] = {"anyOf": [{"required": [key]} for key in forbidden]}
        for name, keys in rules.keyed.items():
            properties[name]["x-kubernetes-list-type"] = "map"
            properties[name]["x-kubernetes-list-map-keys"] = list(keys)
        for name in rules.named:
            properties[name]["items"] |= {"required": ["name"], "properties": {"name": dict(_NAME)}}
        if rules.described_in is not None:
            for name in properties.keys() - {rules.described_in}:
                properties[name]["properties"] = _without_descriptions(properties[name]["properties"])
        result: Schema = {"type": "object", "properties": properties}
        if "description" in schema:
            result["description"] = _text(schema["description"])
        if schema.get("required"):
            result["required"] = schema["required"]
        return _with_rules(result, rules.model)

    def _field(self, field: Schema, path: str, rules: Sequence[Rule]) -> Schema:
        options = [option for option in field.get("anyOf", ()) if option.get("type") != "null"]
        if len(options) > 1:
            if {option.get("type") for option in options} == {"integer", "string"}:
                text = next(option for option in options if option["type"] == "string")
                pattern = {"pattern": text["pattern"]} if "pattern" in text else {}
                return _described({"x-kubernetes-int-or-string": True, **pattern}, field)
            if [option.get("type") for option in options] == ["number", "string"]:
                return self._number_or_word(field, options)
            raise ValueError(f"{path}: a choice between types cannot be expressed in a structural schema")
        own = {key: value for key, value in field.items() if key != "anyOf"}
        converted = self._value({**(options[0] if options else {}), **own}, path)
        if self._defaults and not self._bare(field):
            default = _default(field.get("default"), converted)
            if default is not None:
                converted["default"] = default
                _mention(default, converted)
        return _with_rules(converted, rules)

    def _number_or_word(self, field: Schema, options: Sequence[Schema]) -> Schema:
        """Return the schema of a number in bounds or a certain word, for which a structural schema has no type."""
        number, word = options
        own: Schema = {**_ANYTHING}
        if self._defaults:
            own["default"] = field["default"]
        bounds = self._bounds("number", number, "")
        # Bounds of numbers hold for no other type, and the other bounds only admit an empty value of it.
        nothing_else = {"maxLength": 0, "maxItems": 0, "maxProperties": 0}
        own["anyOf"] = [{"enum": [word["const"]]}, {**bounds, **nothing_else}]
        described = _described(own, field)
        if self._defaults:
            _mention(field["default"], described)
        return described

    def _bare(self, field: Schema) -> bool:
        return "$ref" in field and self._rules.get(_name_of(field["$ref"]), Rules()).bare

    def _value(self, schema: Schema, path: str) -> Schema:
        reference = schema.get("$ref") or _only_of(schema)
        if reference:
            name = _name_of(reference)
            inner = self._definitions[name]
            if name == "JsonValue":
                return _described(dict(_ANYTHING), schema)
            if "properties" not in inner:
                return self._value({**inner, **{k: v for k, v in schema.items() if k != "$ref"}}, path)
            converted = self.model(inner, path)
            both = [part["description"] for part in (schema, converted) if "description" in part]
            return _described(converted, {"description": " ".join(both)} if both else {})
        if "const" in schema:
            schema = {**schema, "enum": [schema["const"]]}
        kind = schema.get("type")
        if kind is None:
            if not set(schema) & {"anyOf", "oneOf", "allOf", "enum"}:
                return _described(dict(_ANYTHING), schema)
            raise ValueError(f"{path}: its type cannot be expressed in a structural schema")
        result = {key: value for key, value in schema.items() if key in _KEPT}
        if "description" in result:
            result["description"] = _text(result["description"])
        rules = list(_RULES_OF_FORMAT.get(schema.get("format", ""), ()))
        if WORDS in schema:  # the API server tells a pattern that does not match, but not what it means
            rules.insert(0, Rule(cel=matching(result.pop("pattern")), message=schema[WORDS]))
        if schema.get("format") == "date-time":
            result["format"] = "date-time"
        return _with_rules({**result, **self._bounds(kind, schema, path)}, rules)

    def _bounds(self, kind: str, schema: Schema, path: str) -> Schema:
        """Return the additions for a value of type `kind`: its element schema, and a bound if it has none."""
        if kind == "string":
            bounded = "maxLength" in schema or "enum" in schema or schema.get("format") == "date-time"
            return {} if bounded else {"maxLength": LONGEST_STRING}
        if kind in ("integer", "number"):
            bounds: Schema = {"format": "int64"} if kind == "integer" else {}
            for bound in ("minimum", "maximum"):
                exclusive = f"exclusive{bound.capitalize()}"
                if exclusive in schema:  # a number in JSON schema, but a flag for the bound in OpenAPI v3.0
                    bounds |= {bound: schema[exclusive], exclusive: True}
            return bounds
        if kind == "array":
            items = self._field(schema.get("items", {}), f"{path}[]", ())
            return {"items": items, "maxItems": schema.get("maxItems", MOST_ITEMS)}
        if kind == "object":
            values = schema.get("additionalProperties", {})
            most = {"maxProperties": schema.get("maxProperties", MOST_PROPERTIES)}
            if values in ({}, True) or str(values.get("$ref", "")).endswith("/JsonValue"):
                return {**_ANYTHING, **most}
            return {"additionalProperties": self._field(values, f"{path}.*", ()), **most}
        return {}


def _only_of(schema: Schema) -> str | None:
    """Return the reference in an `allOf` with one element, which pydantic writes if a reference has siblings."""
    parts = schema.get("allOf", ())
    return parts[0].get("$ref") if len(parts) == 1 else None


def _name_of(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def _default(value: Any, schema: Schema) -> Any:
    """Return `value` without the parts that equal the defaults of nested fields, or None if nothing is left."""
    properties = schema.get("properties")
    if isinstance(value, list):  # an element's missing fields get their own defaults; a null would be refused
        inner = schema.get("items", {})
        value = [_default(element, inner) if isinstance(element, dict) else element for element in value]
    if properties is None or not isinstance(value, dict):
        return None if value in (None, [], {}) else value
    own = {}
    for name, inner in value.items():
        default = _default(inner, properties[name])
        if default is not None and default != properties[name].get("default") and default != {}:
            own[name] = default
    return own


def _mention(default: Any, schema: Schema) -> None:
    """Append the default to the description, because `kubectl explain` does not show defaults."""
    if not isinstance(default, dict) and default != "" and "description" in schema:
        schema["description"] += f" Defaults to {json.dumps(default, ensure_ascii=False)}."


def _described(result: Schema, field: Schema) -> Schema:
    """Replace the description of the type with that of the field, if it has one."""
    if "description" in field:
        result["description"] = _text(field["description"])
    return result


def _with_rules(schema: Schema, rules: Sequence[Rule]) -> Schema:
    if rules:
        before = schema.get("x-kubernetes-validations", [])
        schema["x-kubernetes-validations"] = [*before, *(rule.as_schema() for rule in rules)]
    return schema


def _text(description: str) -> str:
    """Join the lines of each paragraph, because `kubectl explain` wraps lines itself."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in description.split("\n\n"))
