CREATE TABLE dst (id BIGINT, name STRING) WITH ('connector' = 'blackhole');
CREATE TABLE dst (id BIGINT, name STRING) WITH ('connector' = 'blackhole');
