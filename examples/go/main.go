// Weather stations and what they measured.
package main

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"

	_ "github.com/lib/pq"
)

type server struct {
	db *sql.DB
}

func main() {
	db, err := sql.Open("postgres", os.Getenv("PG_URL"))
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	s := server{db}
	http.HandleFunc("GET /health", s.health)
	http.HandleFunc("GET /stations/{id}", s.station)
	http.HandleFunc("POST /stations/{id}/readings", s.addReading)
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}

func (s server) health(w http.ResponseWriter, r *http.Request) {
	if err := s.db.PingContext(r.Context()); err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s server) station(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	readings, err := s.readings(r.Context(), id)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, summarise(id, readings))
}

func (s server) addReading(w http.ResponseWriter, r *http.Request) {
	var new reading
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || json.NewDecoder(r.Body).Decode(&new) != nil {
		http.Error(w, "a station's number and a reading are needed", http.StatusBadRequest)
		return
	}
	if err := s.add(r.Context(), id, new); err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusCreated, new)
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(text)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "internal error", http.StatusInternalServerError)
}
