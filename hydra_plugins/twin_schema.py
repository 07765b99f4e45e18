"""Registers the config schema with Hydra, inside DVC's own process as well."""

from twin.config.schema import register

register()
