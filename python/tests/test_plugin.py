"""The fixtures with a real warehouse."""

import socket
import urllib.request

import pytest

from pytest_starweir import SqlError, Warehouse

pytest_plugins = ["pytester"]
seen = set()


def test_sql_runs_in_the_database_of_the_test(starweir_database):
    starweir_database.sql("CREATE TABLE t (k INT, v VARCHAR(10)) PRIMARY KEY (k); INSERT INTO t VALUES (1, 'ü'), (2, NULL)")
    assert starweir_database.sql("SELECT * FROM t ORDER BY k") == [{"k": 1, "v": "ü"}, {"k": 2, "v": None}]
    with pytest.raises(SqlError, match="5502"):
        starweir_database.sql("SELECT * FROM missing")


@pytest.mark.parametrize("time", [1, 2])
def test_each_test_has_an_empty_database(starweir_database, time):
    assert starweir_database.name not in seen and starweir_database.sql("SHOW TABLES") == []
    seen.add(starweir_database.name)


def test_all_ports_answer(starweir_warehouse):
    w = starweir_warehouse
    socket.create_connection((w.host, w.mysql_port), 5).close()
    assert b"OK" in urllib.request.urlopen(f"http://{w.load_url}/api/health", timeout=5).read()
    assert w.url("d") == f"starrocks://root@{w.host}:{w.mysql_port}/d"


def test_a_warehouse_goes_with_its_block():
    with Warehouse.start() as w:
        assert w.is_running and w.sql("SELECT 1 AS one") == [{"one": 1}]
    assert not w.is_running
    with pytest.raises(OSError):
        socket.create_connection((w.host, w.mysql_port), 1)


def test_a_missing_binary_and_a_failed_start_are_told():
    with pytest.raises(FileNotFoundError, match="no-such-binary"):
        Warehouse.start("no-such-binary")
    with pytest.raises(RuntimeError, match="--memory"):
        Warehouse.start(None, "--memory", "much")


def test_the_plugin_is_found_without_being_imported(pytester):
    pytester.makepyfile("def test_it(starweir_database): assert starweir_database.sql('SELECT 1 AS a') == [{'a': 1}]")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
