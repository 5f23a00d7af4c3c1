CREATE TABLE cdc (id BIGINT, name STRING) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'debezium-json');
CREATE TABLE sr (id BIGINT, name STRING) WITH (
  'connector' = 'starrocks',
  'jdbc-url' = 'jdbc:mysql://127.0.0.1:9030',
  'load-url' = '127.0.0.1:8030',
  'database-name' = 'd',
  'table-name' = 't',
  'username' = 'root',
  'password' = ''
);
INSERT INTO sr SELECT id, name FROM cdc;
