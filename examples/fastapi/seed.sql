-- A database of the first release, with 2,000 authors and 100,000 books. Migrations bring it up to date.
CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY);
CREATE TABLE IF NOT EXISTS author (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE IF NOT EXISTS book (
  id serial PRIMARY KEY,
  title text NOT NULL,
  year integer NOT NULL,
  author_id integer NOT NULL REFERENCES author
);
INSERT INTO alembic_version SELECT '0001' WHERE NOT EXISTS (SELECT FROM alembic_version);
INSERT INTO author SELECT n, 'Author no. ' || n FROM generate_series(1, 2000) AS n;
INSERT INTO book SELECT n, 'Book no. ' || n, 1900 + n % 120, 1 + (n - 1) % 2000 FROM generate_series(1, 100000) AS n;
SELECT setval(pg_get_serial_sequence('author', 'id'), max(id)) FROM author;
SELECT setval(pg_get_serial_sequence('book', 'id'), max(id)) FROM book;
