CREATE TABLE src (
  id BIGINT,
  name STRING,
  price DECIMAL(10, 2),
  ts TIMESTAMP(3),
  tags ARRAY<STRING>
) WITH ('connector' = 'datagen', 'number-of-rows' = '5');
CREATE TABLE sr (id BIGINT) WITH ('connector' = 'starrocks', 'load-url' = 'fe:8030');
INSERT INTO sr SELECT id FROM src;
