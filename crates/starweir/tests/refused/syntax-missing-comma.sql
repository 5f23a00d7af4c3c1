CREATE TABLE t (a INT b INT) WITH ('connector' = 'print');
