CREATE TABLE src (
  id BIGINT,
  name STRING,
  price DECIMAL(10, 2),
  ts TIMESTAMP(3),
  tags ARRAY<STRING>
) WITH ('connector' = 'datagen', 'number-of-rows' = '5');
SELECT * FROM src MATCH_RECOGNIZE (ORDER BY ts MEASURES A.id AS aid PATTERN (A) DEFINE A AS A.id = 1);
