INSERT INTO recipe
SELECT n, 'Soup no. ' || n, ARRAY(SELECT 'ingredient ' || (n * k) % 97 FROM generate_series(1, 12) AS k)
FROM generate_series(1, 200) AS n;
