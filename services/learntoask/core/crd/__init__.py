"""The CustomResourceDefinitions of LearnToAskRun and AskEndpoint, generated from the manifest and status models.

definition   the two kinds: names, columns of `kubectl get`, and which fields may change when
schema       from a pydantic model to a structural OpenAPI schema
rules        the checks of the pydantic validators, as CEL expressions
"""

from learntoask.core.crd.definition import DEFINITIONS, Definition, custom_resource_definition

__all__ = ["DEFINITIONS", "Definition", "custom_resource_definition"]
