package main

import "context"

type reading struct {
	Hour        int     `json:"hour"`
	Temperature float64 `json:"temperature"`
}

type summary struct {
	Readings []reading `json:"readings"`
	Station  int       `json:"station"`
	Warmest  float64   `json:"warmest"`
}

func summarise(station int, readings []reading) summary {
	result := summary{Station: station, Readings: readings}
	for i, r := range readings {
		if i == 0 || r.Temperature > result.Warmest {
			result.Warmest = r.Temperature
		}
	}
	return result
}

func (s server) readings(ctx context.Context, station int) ([]reading, error) {
	rows, err := s.db.QueryContext(ctx,
		"SELECT hour, temperature FROM reading WHERE station_id = $1 ORDER BY hour LIMIT 200", station)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	readings := []reading{}
	for rows.Next() {
		var r reading
		if err := rows.Scan(&r.Hour, &r.Temperature); err != nil {
			return nil, err
		}
		readings = append(readings, r)
	}
	return readings, rows.Err()
}

func (s server) add(ctx context.Context, station int, new reading) error {
	_, err := s.db.ExecContext(ctx,
		"INSERT INTO reading (station_id, hour, temperature) VALUES ($1, $2, $3)", station, new.Hour, new.Temperature)
	return err
}
