"""Users by real clients: both password plugins, over TLS, under the public key, and by the fast path."""
import sys
import mysql.connector
import pymysql

port = int(sys.argv[1])


def pymysql_login(user, password, **more):
    # PyMySQL would send a str as Latin-1.
    return pymysql.connect(host="127.0.0.1", port=port, user=user, password=password.encode(), **more)


root = pymysql_login("root", "rootpw")
k = root.cursor()
k.execute("CREATE DATABASE users")
k.execute("CREATE TABLE users.t (k INT) DUPLICATE KEY (k)")
k.execute("CREATE USER native IDENTIFIED BY 'pw'")
for user in ("cached", "overtls", "underkey"):
    k.execute(f"CREATE USER {user} IDENTIFIED WITH caching_sha2_password BY 'a long password: with ünïcode'")
k.execute("GRANT SELECT ON users.t TO native")
# 'pw' as MySQL 9.7 keeps it: the warehouse has not seen the password.
kept = "0x24412430304124394E3B570571390E774853741D2340046B0563254D6841665934726258793731557836476F5264644F514A6E704B476F7845434E2F7253784B502E2E633231"
for user in ("overtls", "underkey"):
    k.execute(f"ALTER USER {user} IDENTIFIED WITH caching_sha2_password AS {kept}")
pymysql_login("native", "pw").cursor().execute("SELECT * FROM users.t")
pymysql_login("cached", "a long password: with ünïcode").close()
pymysql_login("underkey", "pw").close()
pymysql_login("overtls", "pw", ssl={"check_hostname": False, "verify_mode": "none"}).close()
# mysql-connector-python uses TLS wherever it is offered.
c = mysql.connector.connect(host="127.0.0.1", port=port, user="cached", password="a long password: with ünïcode")
x = c.cursor()
x.execute("SELECT current_user()")
assert x.fetchone() == ("'cached'@'%'",)
c.cmd_change_user("native", "pw")
x = c.cursor()
x.execute("SELECT current_user()")
assert x.fetchone() == ("'native'@'%'",)
for login in (("native", "wrong"), ("cached", "wrong"), ("nobody", "pw"), ("root", "")):
    for connect in (pymysql_login, lambda u, p: mysql.connector.connect(host="127.0.0.1", port=port, user=u, password=p)):
        try:
            connect(*login)
            raise SystemExit(f"{login} came in")
        except (pymysql.err.MySQLError, mysql.connector.Error) as e:
            assert e.args[0] == 1045, e
try:
    pymysql_login("native", "pw").cursor().execute("INSERT INTO users.t VALUES (1)")
    raise SystemExit("an insert was let through")
except pymysql.err.MySQLError as e:
    assert e.args[0] == 5203 and "INSERT privilege(s) on TABLE t" in e.args[1], e
print("fine")
