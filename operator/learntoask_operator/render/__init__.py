"""Manifests of children as plain dicts: pure functions of the resource, the settings and what was decided."""
