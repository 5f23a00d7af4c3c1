CREATE TABLE src (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
CREATE TABLE dst (id BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH (
  'connector' = 'mysql-cdc', 'hostname' = 'db', 'username' = 'u', 'password' = 'secret',
  'database-name' = 'shop', 'table-name' = 'orders'
);
INSERT INTO dst SELECT * FROM src;
