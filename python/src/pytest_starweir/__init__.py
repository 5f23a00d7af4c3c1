"""A StarRocks-compatible warehouse for tests."""

from .warehouse import Database, SqlError, Warehouse

__all__ = ["Database", "SqlError", "Warehouse"]
