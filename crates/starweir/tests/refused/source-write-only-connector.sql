CREATE TABLE dst (id BIGINT, name STRING) WITH ('connector' = 'blackhole');
CREATE TABLE d (id BIGINT, name STRING) WITH ('connector' = 'print');
INSERT INTO d SELECT * FROM dst;
