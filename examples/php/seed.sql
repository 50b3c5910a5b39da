CREATE TABLE film (
  id integer PRIMARY KEY,
  title text NOT NULL,
  genre text NOT NULL,
  votes integer NOT NULL DEFAULT 0
);
INSERT INTO film
SELECT n, 'Film no. ' || n, (ARRAY['comedy', 'crime', 'drama', 'horror', 'western'])[1 + n % 5]
FROM generate_series(1, 1000) AS n;
