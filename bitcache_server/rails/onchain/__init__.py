"""Payments on the Bitcoin chain, seen through a full node's RPC."""
