"""Payments over Lightning: one rail, several backends that know a node or a wallet."""
