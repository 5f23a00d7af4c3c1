CREATE TABLE src (
  id BIGINT,
  name STRING,
  price DECIMAL(10, 2),
  ts TIMESTAMP(3),
  tags ARRAY<STRING>
) WITH ('connector' = 'datagen', 'number-of-rows' = '5');
CREATE TABLE dst (id BIGINT, name STRING) WITH ('connector' = 'blackhole');
INSERT INTO dst SELECT id, name FROM src WHERE tags > 1;
