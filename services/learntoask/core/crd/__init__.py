"""Our kinds as Kubernetes knows them: CustomResourceDefinitions, made from the same models that read a manifest."""

from learntoask.core.crd.definition import DEFINITIONS, Definition, custom_resource_definition

__all__ = ["DEFINITIONS", "Definition", "custom_resource_definition"]
