"""The form of a text field: a regular expression, and what it allows in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

WORDS = "patternErrorMessage"
"""Key of the words in a JSON schema; editors that check YAML against a schema show them."""


@dataclass(frozen=True)
class Form:
    """Annotation of a text field, whose whole text has to match `pattern`.

    `pattern` is in the syntax that Python and CEL share (no lookahead, no backreference). `words` say what is allowed;
    the model, editors and the API server refuse other texts with them.
    """

    pattern: str
    words: str

    def check(self, text: str) -> str:
        """Return `text`. Raises ValueError with the words if it has another form."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.words)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^({self.pattern})$", WORDS: self.words}
