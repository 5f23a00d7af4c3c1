import java.math.BigDecimal;
import java.sql.*;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.*;

/** What tools do with a JDBC driver: connect, write by prepared statements, and ask for metadata. */
public class Clients {
    static List<String> rows(ResultSet r, String... names) throws SQLException {
        List<String> out = new ArrayList<>();
        while (r.next()) {
            List<String> cells = new ArrayList<>();
            for (String n : names) cells.add(String.valueOf(r.getObject(n)));
            out.add(String.join("|", cells));
        }
        r.close();
        return out;
    }

    static void check(String what, Object found, Object wanted) {
        if (!String.valueOf(found).equals(String.valueOf(wanted)))
            throw new AssertionError(what + ": " + found + " instead of " + wanted);
    }

    public static void main(String[] args) throws Exception {
        String url = args[0], db = args[1];
        try (Connection c = DriverManager.getConnection(url, "root", "")) {
            try (Statement s = c.createStatement()) {
                s.execute("DROP DATABASE IF EXISTS " + db);
                s.execute("CREATE DATABASE " + db);
                s.execute("CREATE TABLE " + db + ".t (id BIGINT NOT NULL COMMENT 'key', name VARCHAR(40), price DECIMAL(10,2), at DATETIME, day DATE, "
                        + "flag BOOLEAN, x DOUBLE, small SMALLINT NOT NULL DEFAULT '3') PRIMARY KEY(id)");
                s.execute("CREATE VIEW " + db + ".v AS SELECT id, name FROM " + db + ".t");
            }
            c.setCatalog(db);
            check("catalog", c.getCatalog(), db);
            try (PreparedStatement p = c.prepareStatement("INSERT INTO t (id, name, price, at, day, flag, x) VALUES (?, ?, ?, ?, ?, ?, ?)")) {
                for (int i = 1; i <= 3; i++) {
                    p.setLong(1, i);
                    p.setString(2, i == 3 ? null : "it's \\ ü" + i);
                    p.setBigDecimal(3, new BigDecimal("1.50"));
                    p.setObject(4, LocalDateTime.of(2026, 1, 2, 3, 4, 5));
                    p.setObject(5, LocalDate.of(2026, 1, i));
                    p.setBoolean(6, i % 2 == 0);
                    p.setDouble(7, 0.5);
                    p.addBatch();
                }
                p.executeBatch();
            }
            try (PreparedStatement p = c.prepareStatement("SELECT * FROM t WHERE id >= ? ORDER BY id")) {
                p.setLong(1, 2);
                ResultSet r = p.executeQuery();
                ResultSetMetaData m = r.getMetaData();
                check("columns", m.getColumnCount(), 8);
                check("type of price", m.getColumnType(3) + "/" + m.getPrecision(3) + "/" + m.getScale(3), Types.DECIMAL + "/10/2");
                check("label", m.getColumnLabel(2), "name");
                r.next();
                check("name", r.getString("name"), "it's \\ ü2");
                check("price", r.getBigDecimal("price"), "1.50");
                check("at", r.getTimestamp("at").toLocalDateTime(), "2026-01-02T03:04:05");
                check("day", r.getDate("day").toLocalDate(), "2026-01-02");
                check("flag", r.getBoolean("flag"), true);
                check("small", r.getShort("small"), 3);
                r.next();
                check("null", r.getString("name"), null);
            }
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                check("updated", s.executeUpdate("UPDATE t SET name = 'three' WHERE id = 3"), 1);
            }
            c.commit();
            c.setAutoCommit(true);
            check("valid", c.isValid(5), true);
            DatabaseMetaData d = c.getMetaData();
            System.out.println(d.getDriverName() + " " + d.getDriverVersion() + " on " + d.getDatabaseProductName() + " " + d.getDatabaseProductVersion());
            Set<String> catalogs = new TreeSet<>(rows(d.getCatalogs(), "TABLE_CAT"));
            check("catalogs", catalogs.contains(db) && catalogs.contains("information_schema"), true);
            d.getSchemas().close();
            check("table types", rows(d.getTableTypes(), "TABLE_TYPE").contains("VIEW"), true);
            check("tables", rows(d.getTables(db, null, "%", null), "TABLE_CAT", "TABLE_NAME", "TABLE_TYPE"), "[" + db + "|t|" + "TABLE" + ", " + db + "|v|VIEW]");
            check("views", rows(d.getTables(db, null, "%", new String[] {"VIEW"}), "TABLE_NAME"), "[v]");
            check("one table", rows(d.getTables(db, null, "t", new String[] {"TABLE"}), "TABLE_NAME"), "[t]");
            check("all columns", rows(d.getColumns(db, null, "t", "%"), "COLUMN_NAME", "TYPE_NAME", "COLUMN_SIZE", "IS_NULLABLE").subList(0, 3), "[id|BIGINT|19|NO, name|VARCHAR|40|YES, price|DECIMAL|10|YES]");
            check("columns of all", rows(d.getColumns(db, null, "%", "id"), "TABLE_NAME", "COLUMN_NAME"), "[t|id, v|id]");
            // Drivers ask information_schema.statistics, which is empty in StarRocks.
            check("key", rows(d.getPrimaryKeys(db, null, "t"), "COLUMN_NAME", "KEY_SEQ"), "[]");
            check("index", rows(d.getIndexInfo(db, null, "t", false, true), "COLUMN_NAME"), "[]");
            check("foreign keys", rows(d.getImportedKeys(db, null, "t"), "FKCOLUMN_NAME"), "[]");
            check("exported", rows(d.getExportedKeys(db, null, "t"), "FKCOLUMN_NAME"), "[]");
            System.out.println("types " + rows(d.getTypeInfo(), "TYPE_NAME").size());
            d.getBestRowIdentifier(db, null, "t", DatabaseMetaData.bestRowSession, true).close();
            check("procedures", rows(d.getProcedures(db, null, "%"), "PROCEDURE_NAME"), "[]");
            check("functions", rows(d.getFunctions(db, null, "%"), "FUNCTION_NAME"), "[]");
            d.getVersionColumns(db, null, "t").close();
            // Connector/J asks the database mysql, which StarRocks does not have.
            if (url.contains("mariadb")) d.getTablePrivileges(db, null, "t").close();
            d.getColumnPrivileges(db, null, "t", "%").close();
            d.getClientInfoProperties().close();
            d.getCrossReference(db, null, "t", db, null, "t").close();
            try (Statement s = c.createStatement()) {
                s.executeQuery("SELECT * FROM missing");
                throw new AssertionError("a missing table was found");
            } catch (SQLException e) {
                check("code", e.getErrorCode(), 5502);
            }
            try (Statement s = c.createStatement()) {
                s.setMaxRows(2);
                check("max rows", rows(s.executeQuery("SELECT id FROM t ORDER BY id"), "id"), "[1, 2]");
            }
        }
        System.out.println("fine");
    }
}
