SET 'execution.runtime-mode' = 'batch';
CREATE TABLE s (a INT) WITH ('connector' = 'datagen');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT a FROM s;
