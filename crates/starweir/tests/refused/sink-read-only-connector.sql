CREATE TABLE src (
  id BIGINT,
  name STRING,
  price DECIMAL(10, 2),
  ts TIMESTAMP(3),
  tags ARRAY<STRING>
) WITH ('connector' = 'datagen', 'number-of-rows' = '5');
CREATE TABLE d (id BIGINT) WITH ('connector' = 'datagen');
INSERT INTO d SELECT id FROM src;
