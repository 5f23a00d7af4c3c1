CREATE TABLE src (id BIGINT, name STRING) WITH (
  'connector' = 'postgres-cdc', 'hostname' = 'db', 'username' = 'u', 'password' = 'secret',
  'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'orders', 'slot.name' = 'Flink Slot',
  'decoding.plugin.name' = 'wal2json', 'changelog-mode' = 'upsert',
  'scan.newly-added-table.enabled' = 'true', 'debezium.slot.drop.on.stop' = 'true'
);
CREATE TABLE dst (id BIGINT, name STRING) WITH ('connector' = 'print');
INSERT INTO dst SELECT * FROM src;
