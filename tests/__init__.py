"""Tests: unit, contract, properties, integration, functional, e2e, shape and bench."""
