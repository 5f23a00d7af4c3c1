CREATE TABLE src (id BIGINT, name STRING, at TIMESTAMP_LTZ(3) METADATA FROM 'op_tss', PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'mysql-cdc', 'hostname' = 'db', 'username' = 'u', 'password' = 'secret',
  'database-name' = 'shop', 'table-name' = 'orders(',
  'scan.startup.mode' = 'specific-offset',
  'server-id' = 'many', 'server-time-zone' = 'Mars/Base',
  'scan.incremental.snapshot.chunk.key-column' = 'idd',
  'debezium.snapshot.mode' = 'never', 'debezium.column.mask.with.8.chars' = 'shop.orders.name'
);
CREATE TABLE dst (id BIGINT, at TIMESTAMP_LTZ(3)) WITH ('connector' = 'print');
INSERT INTO dst SELECT id, at FROM src;
