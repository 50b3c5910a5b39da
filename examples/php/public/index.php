<?php

declare(strict_types=1);

require __DIR__ . '/../src/catalogue.php';

function reply(mixed $body, int $status = 200): never
{
    http_response_code($status);
    header('Content-Type: application/json');
    exit(json_encode($body, JSON_THROW_ON_ERROR));
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$route = $_SERVER['REQUEST_METHOD'] . ' ' . $path;

if ($route === 'GET /health') {
    reply(['status' => 'ok']);
}
$database = new PDO(
    sprintf('pgsql:host=%s;dbname=%s', getenv('DB_HOST'), getenv('DB_NAME')),
    getenv('DB_USER'),
    trim(file_get_contents(getenv('DB_PASSWORD_FILE'))),
    [PDO::ATTR_PERSISTENT => true, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION],
);
if ($route === 'GET /genres') {
    reply(group_by_genre(read_films($database)));
}
if (preg_match('#^GET /films/(\d+)$#', $route, $match)) {
    $film = find_film($database, (int) $match[1]);
    $film === null ? reply(['error' => 'no such film'], 404) : reply($film);
}
if (preg_match('#^POST /films/(\d+)/votes$#', $route, $match)) {
    add_vote($database, (int) $match[1]) ? reply(['voted' => (int) $match[1]], 201) : reply(['error' => 'no such film'], 404);
}
reply(['error' => 'not found'], 404);
