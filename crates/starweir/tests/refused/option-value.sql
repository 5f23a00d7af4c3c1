CREATE TABLE s (a INT) WITH ('connector' = 'datagen', 'rows-per-second' = 'many');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
