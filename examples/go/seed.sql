CREATE TABLE station (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE reading (
  station_id integer NOT NULL REFERENCES station,
  hour integer NOT NULL,
  temperature double precision NOT NULL,
  PRIMARY KEY (station_id, hour)
);
INSERT INTO station SELECT n, 'Station no. ' || n FROM generate_series(1, 10) AS n;
INSERT INTO reading
SELECT station, hour, round((10 + 8 * sin(hour / 3.8) + station)::numeric, 1)
FROM generate_series(1, 10) AS station, generate_series(1, 200) AS hour;
