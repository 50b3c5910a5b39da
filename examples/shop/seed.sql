CREATE TABLE product (id integer PRIMARY KEY, name text NOT NULL, price integer NOT NULL);
INSERT INTO product SELECT n, CASE n % 3 WHEN 0 THEN 'Green tea' WHEN 1 THEN 'Black tea' ELSE 'Coffee' END || ' no. ' || n, 300 + 7 * n
FROM generate_series(1, 50) AS n;
