-- What happens to the shop while the pipeline runs.
UPDATE shop_eu.orders SET paid = 1 WHERE id = 2;
ALTER TABLE shop_us.orders ADD COLUMN coupon VARCHAR(10);
INSERT INTO shop_us.orders VALUES (2, '山田 花子', 7450, 0, '2026-03-01 13:00:00.5', 'FRÜHLING');
UPDATE shop_eu.orders SET amount = 59.95 WHERE id = 3;
DELETE FROM shop_us.orders WHERE id = 1;
UPDATE shop_eu.customers SET name = 'Grace Hopper' WHERE name = 'Grace Okafor';
