"""The fixtures."""

from __future__ import annotations

from typing import Iterator

import pytest

from .warehouse import Database, Warehouse


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "the starweir binary; by default STARWEIR_BINARY, else the one on the PATH"
    parser.getgroup("starweir").addoption("--starweir-binary", default=None, help=help)
    parser.addini("starweir_binary", help, default="")


@pytest.fixture(scope="session")
def starweir_warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """A running warehouse that goes with the session."""
    binary = request.config.getoption("--starweir-binary") or request.config.getini("starweir_binary") or None
    with Warehouse.start(binary) as warehouse:
        yield warehouse


@pytest.fixture
def starweir_database(starweir_warehouse: Warehouse) -> Iterator[Database]:
    """An empty database of the test's own."""
    database = starweir_warehouse.create_database()
    yield database
    database.drop()
