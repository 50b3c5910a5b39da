CREATE TABLE recipe (
  id integer PRIMARY KEY,
  name text NOT NULL,
  ingredients text[] NOT NULL
);
