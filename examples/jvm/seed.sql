CREATE TABLE product (id integer PRIMARY KEY, name text NOT NULL, price integer NOT NULL);
CREATE TABLE purchase (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  product_id integer NOT NULL REFERENCES product
);
INSERT INTO product SELECT n, 'Tea no. ' || n, 300 + 7 * n FROM generate_series(1, 50) AS n;
