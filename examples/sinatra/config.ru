require_relative "app"

run Ranking
