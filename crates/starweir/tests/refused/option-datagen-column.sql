CREATE TABLE s (price INT) WITH ('connector' = 'datagen', 'fields.prise.min' = '1');
CREATE TABLE d (a INT) WITH ('connector' = 'print');
INSERT INTO d SELECT price FROM s;
