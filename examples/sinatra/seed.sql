CREATE TABLE player (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE score (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  player_id integer NOT NULL REFERENCES player,
  points integer NOT NULL
);
INSERT INTO player SELECT n, 'Player no. ' || n FROM generate_series(1, 200) AS n;
INSERT INTO score (player_id, points) SELECT 1 + n % 200, (n * 7919) % 101 FROM generate_series(1, 5000) AS n;
