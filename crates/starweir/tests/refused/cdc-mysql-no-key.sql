CREATE TABLE src (id BIGINT, name STRING) WITH (
  'connector' = 'mysql-cdc', 'hostname' = 'db', 'username' = 'u', 'password' = 'secret',
  'database-name' = 'shop', 'table-name' = 'orders'
);
CREATE TABLE dst (id BIGINT, name STRING) WITH ('connector' = 'print');
INSERT INTO dst SELECT * FROM src;
