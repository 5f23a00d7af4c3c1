CREATE TABLE src (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'postgres-cdc', 'hostname' = 'db', 'username' = 'u', 'password' = 'secret',
  'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'orders', 'slot.name' = 's',
  'changelog-mode' = 'upsert'
);
CREATE TABLE by_name (name STRING, id BIGINT, PRIMARY KEY (name) NOT ENFORCED) WITH (
  'connector' = 'starrocks', 'jdbc-url' = 'jdbc:mysql://fe:9030', 'load-url' = 'fe:8030',
  'database-name' = 'd', 'table-name' = 't', 'username' = 'u', 'password' = 'secret'
);
INSERT INTO by_name SELECT UPPER(name), id FROM src;
