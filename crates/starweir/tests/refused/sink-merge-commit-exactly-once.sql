CREATE TABLE src (
  id BIGINT,
  name STRING,
  price DECIMAL(10, 2),
  ts TIMESTAMP(3),
  tags ARRAY<STRING>
) WITH ('connector' = 'datagen', 'number-of-rows' = '5');
CREATE TABLE sr (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'starrocks',
  'jdbc-url' = 'jdbc:mysql://127.0.0.1:9030',
  'load-url' = '127.0.0.1:8030',
  'database-name' = 'd',
  'table-name' = 't',
  'username' = 'root',
  'password' = '',
  'sink.semantic' = 'exactly-once',
  'sink.properties.enable_merge_commit' = 'true',
  'sink.properties.merge_commit_interval_ms' = '100'
);
INSERT INTO sr SELECT id, name FROM src;
