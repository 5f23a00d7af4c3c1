CREATE TABLE s (a INT) WITH ('connector' = 'kafka', 'properties.bootstrap.servers' = 'k:9092', 'format' = 'json');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
