CREATE TABLE s (a INT) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'jsn');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
