CREATE TABLE s (a INT);
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
