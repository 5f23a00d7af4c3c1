CREATE TABLE src (id BIGINT, tags ARRAY<STRING>, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'postgres-cdc', 'hostname' = 'db', 'username' = 'u', 'password' = 'secret',
  'database-name' = 'shop', 'schema-name' = 'public', 'table-name' = 'orders', 'slot.name' = 's',
  'changelog-mode' = 'upsert'
);
CREATE TABLE dst (id BIGINT, tag STRING) WITH ('connector' = 'print');
INSERT INTO dst SELECT id, t.tag FROM src CROSS JOIN UNNEST(tags) AS t (tag);
