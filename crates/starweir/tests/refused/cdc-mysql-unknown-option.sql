CREATE TABLE src (id BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'mysql-cdc', 'hostname' = 'db', 'username' = 'u', 'password' = 'secret',
  'database-name' = 'shop', 'table-name' = 'orders', 'scan.startup.modes' = 'initial', 'tables' = 'shop.orders'
);
CREATE TABLE dst (id BIGINT) WITH ('connector' = 'print');
INSERT INTO dst SELECT * FROM src;
