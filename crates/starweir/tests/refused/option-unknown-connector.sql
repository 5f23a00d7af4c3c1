CREATE TABLE s (a INT) WITH ('connector' = 'datagn');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
