"""Bitcache: pay a few cents in bitcoin for one article or one file."""

__version__ = "0.1.0"
