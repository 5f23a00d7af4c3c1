CREATE TABLE s (a INT, p STRING METADATA FROM 'file.pth') WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'json');
CREATE TABLE d (a INT, p STRING) WITH ('connector' = 'print');
INSERT INTO d SELECT a, p FROM s;
