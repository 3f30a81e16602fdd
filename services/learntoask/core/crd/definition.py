"""The CustomResourceDefinitions: names, columns of `kubectl get`, and which fields may change when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from learntoask.core.crd.rules import RULES, Rule
from learntoask.core.crd.schema import Schema, structural_schema
from learntoask.core.manifest import EndpointSpec, RunSpec
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.core.status.run import RunStatus

GROUP, VERSION = "learntoask.io", "v1alpha1"
MUTABLE = frozenset({"suspend", "attempts", "stageDeadline", "startDeadline", "ttl", "budget", "artefacts"})
"""Fields of a run's spec that may change while it runs; a change of another field makes running stages obsolete."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of `kubectl get`, or with `wide` only of `kubectl get -o wide`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def as_schema(self) -> Schema:
        column = {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
        }
        return {**column, "priority": 1} if self.wide else column


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A kind. `longest_name` is the longest allowed object name, because the names of its children are longer."""

    kind: str
    plural: str
    short: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    longest_name: int
    scalable: bool = False
    frozen_while_at_work: bool = False

    @property
    def name(self) -> str:
        return f"{self.plural}.{GROUP}"


def _condition(type: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{type}")].{field}'


_AGE = Column(
    name="Age", path=".metadata.creationTimestamp", type="date", description="Time since it was created."
)

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        kind="LearnToAskRun",
        plural="learntoaskruns",
        short="ltar",
        description="A run of the whole loop, from logs of expert conversations to a served policy. The same manifest "
        "runs on a laptop (`lta run`).",
        spec=RunSpec,
        status=RunStatus,
        columns=(
            Column(name="Stage", path=".status.stage", description="Running stages."),
            Column(name="Progress", path=".status.progress", description="Progress of the running stages."),
            Column(
                name="Succeeded",
                path=_condition("Succeeded", "status"),
                description="True: all stages are published. False: the run finished without that.",
            ),
            Column(name="Reason", path=".status.reason", description="Cause of the phase."),
            _AGE,
            Column(name="Phase", path=".status.phase", description="Summary of the conditions.", wide=True),
            Column(
                name="GPU-Hours",
                path=".status.gpuHours",
                type="number",
                description="GPUs times the hours that pods held them.",
                wide=True,
            ),
            Column(
                name="Endpoint",
                path=".status.endpoint.address",
                description="Address of the served policy.",
                wide=True,
            ),
            Column(
                name="Message",
                path=".status.message",
                description="Cause of the phase, as a sentence.",
                wide=True,
            ),
        ),
        longest_name=40,
        frozen_while_at_work=True,
    ),
    Definition(
        kind="AskEndpoint",
        plural="askendpoints",
        short="askep",
        description="Policy servers behind a gateway. The gateway stays when the policy is replaced.",
        spec=EndpointSpec,
        status=EndpointStatus,
        columns=(
            Column(name="Ready", path=_condition("Ready", "status"), description="Whether a policy answers."),
            Column(
                name="Reason", path=_condition("Ready", "reason"), description="Cause of the status of Ready."
            ),
            Column(name="Revision", path=".status.revision", description="The revision that serves."),
            Column(name="Canary", path=".status.canary", description="The revision that is tried."),
            Column(
                name="Weight",
                path=".status.rollout.weight",
                type="integer",
                description="Percent of the new conversations that the canary gets.",
            ),
            Column(name="Verdict", path=".status.rollout.verdict", description="Verdict about the canary."),
            Column(
                name="Servers",
                path=".status.readyReplicas",
                type="integer",
                description="Policy servers that get traffic.",
            ),
            _AGE,
            Column(
                name="Target",
                path=".status.target",
                description="The revision that the spec describes.",
                wide=True,
            ),
            Column(
                name="Rollout",
                path=_condition("RolledOut", "reason"),
                description="State of the rollout.",
                wide=True,
            ),
            Column(
                name="Run", path=".spec.policy.run", description="The run whose policy is served.", wide=True
            ),
            Column(name="Address", path=".status.address", description="Address for clients.", wide=True),
        ),
        longest_name=40,
        scalable=True,
    ),
)


def custom_resource_definition(definition: Definition) -> dict[str, Any]:
    """Return the CustomResourceDefinition object of a kind."""
    spec = structural_schema(definition.spec, RULES, defaults=True)
    status = structural_schema(definition.status, RULES, defaults=False)
    schema: Schema = {
        "type": "object",
        "description": definition.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": definition.kind},
            "metadata": {"type": "object"},
            "spec": {**spec, "description": "The desired state."},
            "status": {**status, "description": "The observed state. Only the operator writes it."},
        },
        "x-kubernetes-validations": [rule.as_schema() for rule in _rules(definition, spec["properties"])],
    }
    subresources: Schema = {"status": {}}
    if definition.scalable:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name, "labels": {"app.kubernetes.io/part-of": "learntoask"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": definition.kind,
                "listKind": f"{definition.kind}List",
                "plural": definition.plural,
                "singular": definition.kind.lower(),
                "shortNames": [definition.short],
                "categories": ["learntoask"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": subresources,
                    "additionalPrinterColumns": [column.as_schema() for column in definition.columns],
                }
            ],
        },
    }


def _rules(definition: Definition, fields: Mapping[str, Schema]) -> list[Rule]:
    longest = definition.longest_name
    name = Rule(
        cel=f"size(self.metadata.name) <= {longest} && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        message=f"metadata.name: give at most {longest} characters of a-z, 0-9 and -; names of children begin with it",
    )
    if not definition.frozen_while_at_work:
        return [name]
    frozen = [field for field in fields if field not in MUTABLE]
    return [name, *(_frozen(field, defaulted="default" in fields[field]) for field in frozen)]


def _frozen(field: str, *, defaulted: bool) -> Rule:
    """Return the rule that `field` may not change while the run is active.

    An object stored before a field with a default existed can be updated, although the default was added. A field
    without a default is added by people only, which is a change like any other.
    """
    at_rest = (
        "!has(oldSelf.status) || !has(oldSelf.status.started) || has(oldSelf.status.finished)"
        " || (has(oldSelf.spec.suspend) && oldSelf.spec.suspend) || (has(self.spec.suspend) && self.spec.suspend)"
    )
    unchanged = (
        f"!has(oldSelf.spec.{field}) || (has(self.spec.{field}) && self.spec.{field} == oldSelf.spec.{field})"
    )
    if not defaulted:
        unchanged = f"has(self.spec.{field}) == has(oldSelf.spec.{field}) && ({unchanged})"
    return Rule(
        cel=f"{at_rest} || ({unchanged})",
        message=f"spec.{field} may only change while the run is suspended: set spec.suspend to true first",
        path=f".spec.{field}",
    )
