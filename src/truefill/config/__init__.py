"""Typed configuration: :mod:`schema` (what exists) and :mod:`load` (from YAML)."""
