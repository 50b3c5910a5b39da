CREATE TABLE post (id integer PRIMARY KEY, title text NOT NULL, body text NOT NULL);
CREATE TABLE comment (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  post_id integer NOT NULL REFERENCES post,
  text text NOT NULL
);
CREATE INDEX comment_of_post ON comment (post_id);
INSERT INTO post SELECT n, 'Post no. ' || n, repeat('Words. ', 50) FROM generate_series(1, 100) AS n;
INSERT INTO comment (post_id, text) SELECT 1 + n % 100, 'Comment no. ' || n FROM generate_series(1, 300) AS n;
