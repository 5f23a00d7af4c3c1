-- Change events of a small shop, recorded with Debezium, into two StarRocks tables: `orders` has the present state of
-- every order (a primary-key table), `order_log` a line for every event (a duplicate-key table).
--
--   starweir run examples/orders/orders.sql --local

SET 'pipeline.name' = 'orders';
SET 'execution.checkpointing.interval' = '1 s';

CREATE TABLE orders_cdc (
  order_no   BIGINT,
  customer   STRING,
  city       STRING,
  status     STRING,
  amount     DECIMAL(12, 2),
  placed_at  TIMESTAMP(6),
  updated_at TIMESTAMP_LTZ(3),
  PRIMARY KEY (order_no) NOT ENFORCED
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/orders/orders.json',
  'format' = 'debezium-json'
);

-- The same events as they are: one row each, whatever they do.
CREATE TABLE order_events (
  op       STRING,
  ts_ms    BIGINT,
  `before` ROW<order_no BIGINT>,
  `after`  ROW<order_no BIGINT, status STRING, coupon STRING>
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/orders/orders.json',
  'format' = 'json'
);

CREATE TABLE orders (
  order_no   BIGINT,
  customer   STRING,
  city       STRING,
  status     STRING,
  amount     DECIMAL(12, 2),
  placed_at  TIMESTAMP(6),
  updated_at TIMESTAMP(3),
  PRIMARY KEY (order_no) NOT ENFORCED
) WITH (
  'connector' = 'starrocks',
  'jdbc-url' = 'jdbc:mysql://127.0.0.1:9030',
  'load-url' = '127.0.0.1:8030',
  'database-name' = 'shop',
  'table-name' = 'orders',
  'username' = 'root',
  'password' = '',
  'sink.semantic' = 'exactly-once'
);

CREATE TABLE order_log (
  event    STRING,
  order_no BIGINT,
  status   STRING,
  coupon   STRING
) WITH (
  'connector' = 'starrocks',
  'jdbc-url' = 'jdbc:mysql://127.0.0.1:9030',
  'load-url' = '127.0.0.1:8030',
  'database-name' = 'shop',
  'table-name' = 'order_log',
  'username' = 'root',
  'password' = '',
  'sink.semantic' = 'exactly-once'
);

EXECUTE STATEMENT SET
BEGIN
  INSERT INTO orders
  SELECT order_no, customer, COALESCE(city, '?'), UPPER(status), amount, placed_at, CAST(updated_at AS TIMESTAMP(3))
  FROM orders_cdc
  WHERE status <> 'test';

  INSERT INTO order_log
  SELECT
    CASE op WHEN 'r' THEN 'snapshot' WHEN 'c' THEN 'created' WHEN 'u' THEN 'changed' ELSE 'deleted' END,
    COALESCE(`after`.order_no, `before`.order_no),
    `after`.status,
    `after`.coupon
  FROM order_events;
END;
