"""Count the queries, rows and cache commands of one subject, from counters read before and after a trial."""
