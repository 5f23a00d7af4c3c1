import sys, datetime, decimal
import mysql.connector
port = int(sys.argv[1])
c = mysql.connector.connect(host="127.0.0.1", port=port, user="root", password="", use_pure=True)
k = c.cursor()
k.execute("DROP DATABASE IF EXISTS mc")
k.execute("CREATE DATABASE mc")
k.execute("USE mc")
k.execute("CREATE TABLE t (id INT NOT NULL, d DECIMAL(10,3), b BOOLEAN, at DATETIME, day DATE, x DOUBLE, note STRING, raw VARBINARY) DUPLICATE KEY(id)")
row = (1, decimal.Decimal("1.250"), True, datetime.datetime(2026, 1, 2, 3, 4, 5), datetime.date(2026, 1, 2), 0.5, "it's \\ ü")
k.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, to_binary('00ff', 'hex'))", row)
k.executemany("INSERT INTO t (id, note) VALUES (%s, %s)", [(2, "two"), (3, None)])
assert k.rowcount == 2, k.rowcount
k.execute("SELECT * FROM t WHERE id = %s", (1,))
got = k.fetchone()
assert got[:2] + (bool(got[2]),) + got[3:7] == row and bytes(got[7]) == b"\x00\xff", got
p = c.cursor(prepared=True)
p.execute("SELECT id, note, day, at, d, x FROM t WHERE id >= ? AND id <= ? ORDER BY id", (1, 3))
rows = p.fetchall()
assert [r[0] for r in rows] == [1, 2, 3] and rows[2][1] is None and rows[0][2] == datetime.date(2026, 1, 2) and rows[0][4] == decimal.Decimal("1.250"), rows
p.execute("INSERT INTO t (id, note, at, x, d) VALUES (?, ?, ?, ?, ?)", (4, "four", datetime.datetime(2026, 5, 6, 7, 8, 9, 123000), 1.5, decimal.Decimal("2.5")))
p.execute("SELECT at, x, d FROM t WHERE id = ?", (4,))
assert p.fetchall() == [(datetime.datetime(2026, 5, 6, 7, 8, 9, 123000), 1.5, decimal.Decimal("2.500"))], "prepared"
d = c.cursor(dictionary=True)
d.execute("SELECT count(*) AS n, max(note) m FROM t")
assert d.fetchone() == {"n": 4, "m": "two"}, "dict"
for sql, code in (("SELECT * FROM missing", 5502), ("SELEC 1", 1064), ("USE nowhere", 5501)):
    try:
        k.execute(sql)
        raise SystemExit(f"{sql} was accepted")
    except mysql.connector.Error as e:
        assert e.errno == code, e
c.start_transaction(); k.execute("INSERT INTO t (id) VALUES (9)"); c.commit()
c.reset_session(); c.ping(reconnect=False)
c.cmd_change_user("root", "", "mc")
k = c.cursor(); k.execute("SELECT database(), count(*) FROM t"); assert k.fetchone() == ("mc", 5)
assert c.is_connected()
for r in k.execute("SELECT 1; SELECT 2", multi=True) if "multi" in mysql.connector.cursor.MySQLCursor.execute.__code__.co_varnames else []: r.fetchall()
c.close()
c = mysql.connector.connect(host="127.0.0.1", port=port, user="root", database="mc")
k = c.cursor(); k.execute("SELECT id, note FROM t ORDER BY id LIMIT 1"); assert k.fetchone() == (1, "it's \\ ü")
print("fine", type(c).__name__)
