CREATE TABLE s (a INT) WITH ('connector' = 'datagen', 'rows-per-secnd' = '5');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
