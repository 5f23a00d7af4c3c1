-- The orders of every shop as one table, kept as the shops' databases have it.
SET 'execution.checkpointing.interval' = '1 s';

CREATE TABLE shop_orders (
  id BIGINT, customer STRING, amount DECIMAL(12, 2), paid BOOLEAN, placed_at TIMESTAMP(6),
  shop STRING METADATA FROM 'database_name' VIRTUAL,
  PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector' = 'mysql-cdc', 'hostname' = '127.0.0.1', 'port' = '3306', 'username' = 'root', 'password' = 'root',
  'database-name' = 'shop_.*', 'table-name' = 'orders'
);

CREATE TABLE orders (
  shop STRING, id BIGINT, customer STRING, amount DECIMAL(12, 2), paid BOOLEAN, placed_at TIMESTAMP(6),
  PRIMARY KEY (shop, id) NOT ENFORCED
) WITH (
  'connector' = 'starrocks', 'jdbc-url' = 'jdbc:mysql://fe1:9030', 'load-url' = 'fe1:8030',
  'database-name' = 'ods', 'table-name' = 'orders', 'username' = 'loader', 'password' = '',
  'sink.semantic' = 'exactly-once'
);

INSERT INTO orders SELECT shop, id, customer, amount, paid, placed_at FROM shop_orders WHERE amount > 0;
