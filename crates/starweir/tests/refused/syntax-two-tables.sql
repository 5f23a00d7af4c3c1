CREATE TABLE dst (id BIGINT, name STRING) WITH ('connector' = 'blackhole');
INSERT INTO dst, dst2 SELECT 1;
