"""Which services `bench-action init` writes, and with which data."""

import pytest
from tests.unit.init.drafts import Make, configure, write_compose

from bench_action.init.render import render_configuration

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("manifest", "text", "services"),
    [
        ("Cargo.toml", '[dependencies.sqlx]\nfeatures = ["postgres"]', ["postgres"]),
        ("Cargo.toml", 'tokio-postgres = "1"\nredis = "1"', ["postgres", "redis"]),
        ("src/Web.csproj", '<PackageReference Include="Npgsql.EntityFrameworkCore.PostgreSQL" />', ["postgres"]),
        ("mix.exs", '{:postgrex, ">= 0.0.0"}', ["postgres"]),
        ("gradle/libs.versions.toml", 'postgresql = { module = "org.postgresql:postgresql" }', ["postgres"]),
        ("Cargo.toml", 'axum = "1"', []),
        ("package.json", '{"dependencies": {"mysql2": "3"}}', ["mysql"]),
        ("package.json", '{"dependencies": {"mysql2": "3", "pg": "8"}}', ["postgres"]),
        ("Dockerfile", "FROM php:8.4-apache\nRUN apt-get update && docker-php-ext-install pdo pdo_pgsql", ["postgres"]),
    ],
)
def test_services__by_the_packages_of_any_language(draft: Make, manifest: str, text: str, services: list[str]) -> None:
    made = draft({"Dockerfile": "FROM x\nCOPY . .", manifest: text})
    assert sorted(configure(made)["services"]) == services
    assert ("No package is a driver" in render_configuration(made)) == (not services)


def test_services__without_any_packages_nothing_is_claimed(draft: Make) -> None:
    text = render_configuration(draft({"Dockerfile": "FROM x\nCOPY . ."}))
    assert "No list of packages was found" in text
    assert "No package is a driver" not in text


@pytest.mark.parametrize(
    ("files", "image"),
    [
        (
            {".github/workflows/ci.yml": "    services:\n      db:\n        image: postgis/postgis:16-3.4\n"},
            "postgis/postgis:16-3.4",
        ),
        ({".github/workflows/ci.yml": "        image: postgres:${{ matrix.x }}\n"}, "postgres:17"),
        ({"shop/settings.py": 'INSTALLED_APPS = ["django.contrib.gis"]'}, "postgis/postgis:17-3.5"),
        ({"requirements.txt": "django\npsycopg\npgvector\n"}, "pgvector/pgvector:pg17"),
        ({}, "postgres:17"),
    ],
)
def test_services__have_the_image_that_the_tests_use(draft: Make, files: dict[str, str], image: str) -> None:
    data = configure(draft({"Dockerfile": "FROM python", "requirements.txt": "django\npsycopg\n", **files}))
    assert data["services"]["postgres"]["image"] == image


def test_seed__needs_a_database_that_a_run_knows(draft: Make) -> None:
    """One that is built from PostgreSQL is of no kind that can be seeded."""
    services = {"web": {"build": ".", "ports": [80]}, "db": {"build": "./db", "image": "shop_postgres"}}
    files = {
        "compose.yml": write_compose(**services),
        "Dockerfile": "FROM x",
        "db/Dockerfile": "FROM postgres",
        "seed.sql": "SELECT 1;",
    }
    assert "seed" not in configure(draft(files))
