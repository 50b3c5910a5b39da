<?php

declare(strict_types=1);

function read_films(PDO $database): array
{
    return $database->query('SELECT id, title, genre FROM film ORDER BY id')->fetchAll(PDO::FETCH_ASSOC);
}

function find_film(PDO $database, int $id): ?array
{
    $statement = $database->prepare('SELECT id, title, genre, votes FROM film WHERE id = ?');
    $statement->execute([$id]);
    return $statement->fetch(PDO::FETCH_ASSOC) ?: null;
}

function add_vote(PDO $database, int $id): bool
{
    $statement = $database->prepare('UPDATE film SET votes = votes + 1 WHERE id = ?');
    $statement->execute([$id]);
    return $statement->rowCount() === 1;
}

/** @return array<string, list<string>> the titles of each genre */
function group_by_genre(array $films): array
{
    $genres = [];
    foreach ($films as $film) {
        $genres[$film['genre']][] = $film['title'];
    }
    ksort($genres);
    return $genres;
}
