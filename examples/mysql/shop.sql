-- A small shop in two databases, as MySQL 8 or MariaDB take it.
DROP DATABASE IF EXISTS shop_eu;
DROP DATABASE IF EXISTS shop_us;
CREATE DATABASE shop_eu;
CREATE DATABASE shop_us;

CREATE TABLE shop_eu.orders (
  id BIGINT PRIMARY KEY, customer VARCHAR(40) NOT NULL, amount DECIMAL(12, 2), paid TINYINT(1), placed_at DATETIME(6)
);
CREATE TABLE shop_us.orders LIKE shop_eu.orders;
CREATE TABLE shop_eu.customers (name VARCHAR(40) PRIMARY KEY, city VARCHAR(40) COMMENT 'where parcels go');

INSERT INTO shop_eu.orders VALUES
  (1, 'Grace Okafor', 129.90, 1, '2026-03-01 08:15:30.123456'),
  (2, 'Jürgen Größe', 16.20, 0, '2026-03-01 09:00:00'),
  (3, 'Test Account', 0, 0, '2026-03-01 09:30:00');
INSERT INTO shop_us.orders VALUES (1, 'Zoë O\'Neil', 24.99, 1, '2026-03-01 12:10:00');
INSERT INTO shop_eu.customers VALUES ('Grace Okafor', 'Lagos'), ('Jürgen Größe', 'Köln');
