import sys, datetime, decimal
from sqlalchemy import *
from sqlalchemy.exc import NoSuchTableError
port = int(sys.argv[1])
import starrocks.datatype as srt
admin = create_engine(f"starrocks://root@127.0.0.1:{port}/")
with admin.connect() as c:
    c.execute(text("DROP DATABASE IF EXISTS sa")); c.execute(text("CREATE DATABASE sa"))
engine = create_engine(f"starrocks://root@127.0.0.1:{port}/sa")
meta = MetaData()
orders = Table("orders", meta,
    Column("id", srt.BIGINT, primary_key=True, autoincrement=False),
    Column("day", srt.DATE, primary_key=True),
    Column("name", srt.VARCHAR(40), nullable=True, comment="who"),
    Column("price", srt.DECIMAL(12, 2)),
    Column("at", srt.DATETIME),
    Column("doc", srt.JSON),
    Column("n", srt.INTEGER, nullable=False, server_default="7"),
    starrocks_primary_key="id, day", starrocks_distributed_by="HASH(id) BUCKETS 3",
    starrocks_partition_by="date_trunc('month', day)",
    starrocks_properties={"replication_num": "1"}, comment="the orders")
events = Table("events", meta, Column("k", srt.INTEGER), Column("tags", srt.ARRAY(srt.STRING)), Column("m", srt.MAP(srt.STRING, srt.INTEGER)),
    Column("s", srt.STRUCT(("a", srt.INTEGER), ("b", srt.STRING))), Column("big", srt.LARGEINT), Column("flag", srt.BOOLEAN), Column("x", srt.DOUBLE),
    starrocks_duplicate_key="k", starrocks_distributed_by="RANDOM", starrocks_properties={"replication_num": "1"})
meta.create_all(engine)
with engine.begin() as c:
    c.execute(insert(orders), [
        {"id": 1, "day": datetime.date(2026, 1, 2), "name": "Jürgen", "price": decimal.Decimal("1.50"), "at": datetime.datetime(2026, 1, 2, 3, 4, 5), "doc": '{"a": 1}', "n": 1},
        {"id": 2, "day": datetime.date(2026, 2, 2), "name": None, "price": None, "at": None, "doc": None, "n": 2}])
    c.execute(orders.insert().values(id=3, day=datetime.date(2026, 2, 3)))
with engine.connect() as c:
    rows = c.execute(select(orders.c.id, orders.c.name, orders.c.price, orders.c.n).where(orders.c.id < 10).order_by(orders.c.id)).all()
    assert [tuple(r) for r in rows] == [(1, "Jürgen", decimal.Decimal("1.50"), 1), (2, None, None, 2), (3, None, None, 7)], rows
    n = c.execute(select(func.count(), func.sum(orders.c.n)).select_from(orders).group_by(func.date_trunc("month", orders.c.day)).order_by(text("1"))).all()
    assert [tuple(map(int, r)) for r in n] == [(1, 1), (2, 9)], n
    a, b = orders.alias(), orders.alias()
    j = c.execute(select(a.c.id, b.c.id).join_from(a, b, a.c.id < b.c.id).order_by(a.c.id, b.c.id).limit(2).offset(1)).all()
    assert [tuple(r) for r in j] == [(1, 3), (2, 3)], j
with engine.begin() as c:
    c.execute(update(orders).where(orders.c.id == 2).values(name="two"))
    c.execute(delete(orders).where(orders.c.id == 3))
    c.execute(text("CREATE VIEW v (id COMMENT 'key') COMMENT 'a view' AS SELECT id FROM orders"))
    assert c.execute(select(orders.c.name).where(orders.c.id == 2)).scalar_one() == "two"
i = inspect(engine)
assert "sa" in i.get_schema_names()
assert sorted(i.get_table_names()) == ["events", "orders"], i.get_table_names()
assert i.get_view_names() == ["v"], i.get_view_names()
assert i.has_table("orders") and not i.has_table("missing")
cols = {c["name"]: c for c in i.get_columns("orders")}
print({n: (str(c["type"]), c["nullable"], c.get("default"), c.get("comment")) for n, c in cols.items()})
print({c["name"]: repr(c["type"]) for c in i.get_columns("events")})
print("pk", i.get_pk_constraint("orders"), "idx", i.get_indexes("orders"), i.get_foreign_keys("orders"), i.get_unique_constraints("orders"))
print("opts", i.get_table_options("orders"), i.get_table_comment("orders"))
print("view", i.get_view_definition("v"))
m2 = MetaData(); t2 = Table("orders", m2, autoload_with=engine)
print(repr(t2)); print(t2.dialect_options["starrocks"]._non_defaults if "starrocks" in t2.dialect_options else t2.kwargs)
m3 = MetaData(); m3.reflect(engine, views=True); print(sorted(m3.tables))
try:
    Table("missing", MetaData(), autoload_with=engine); raise SystemExit("found")
except NoSuchTableError: pass
from sqlalchemy.schema import CreateTable
print(CreateTable(t2).compile(engine))
meta.drop_all(engine)
assert inspect(engine).get_table_names() == []
print("fine")
