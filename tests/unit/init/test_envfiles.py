"""Which variables `bench-action init` sets, and which files of variables it asks for."""

import base64
from pathlib import Path

import pytest
import yaml
from tests.unit.init.drafts import Make, configure, write_compose

from bench_action.init.draft import make_draft
from bench_action.init.envfiles import read_variables
from bench_action.init.needs import find_variables
from bench_action.init.render import render_configuration, render_workflow
from bench_action.init.sources import Sources

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "example", [".env.example", "env-example-relational", ".env.dist", "env.sample", ".env.local.example"]
)
def test_env_file__that_only_variables_of_the_compose_file_need(draft: Make, example: str) -> None:
    files = {
        "compose.yml": "services: {api: {build: ., ports: ['${APP_PORT}:${APP_PORT}']}, db: {image: 'x:${TAG:-1}'}}",
        "Dockerfile": "FROM node",
        example: "APP_PORT=3100\n",
        "env-example-document": "OTHER=1\n",
    }
    made = draft(files)
    assert list(made.env_files) == [(".env", example)]
    assert made.port is None
    workflow = yaml.safe_load(render_workflow("bench.yml", made, made.env_files))
    assert [step["run"] for step in workflow["jobs"]["benchmark"]["steps"] if "run" in step] == [
        f"test -e .env || cp -- {example} .env"
    ]


@pytest.mark.parametrize(
    ("manifest", "ignored", "needed"),
    [
        ('{"dependencies": {"dotenv": "1"}}', "node_modules\n", True),
        ('{"dependencies": {"dotenv": "1"}}', ".env\n", False),
        ("{}", "", False),
    ],
)
def test_env_file__that_the_application_reads_itself(draft: Make, manifest: str, ignored: str, needed: bool) -> None:
    files = {
        "compose.yml": write_compose(api={"build": ".", "ports": ["80:80"]}),
        "Dockerfile": "FROM node\nCOPY . .",
        "package.json": manifest,
        ".dockerignore": ignored,
        ".env.example": "JWT_SECRET=x\n",
    }
    assert list(draft(files).env_files) == ([(".env", ".env.example")] if needed else [])


def test_secrets__that_nothing_sets_have_stand_ins(draft: Make) -> None:
    """As in Checkmate, wakapi, formbricks, rallly and BookStack."""
    compose = """
services:
  app:
    build: .
    ports: ["80:80"]
    env_file: .env
    environment:
      ENCRYPTION_KEY:
      JWT_SECRET: ${JWT_SECRET:?set it}
      SMTP_HOST: ${SMTP_HOST}
      OTHER: ${OTHER:-x}
secrets:
  salt: {environment: WAKAPI_PASSWORD_SALT}
"""
    files = {"compose.yml": compose, "Dockerfile": "FROM x", ".env.example": "SECRET_PASSWORD=\nNAME=\nSALT=given\n"}
    made = draft(files)
    data = configure(made)
    value = "benchmark-benchmark-benchmark-benchmark"
    assert data["compose"] == {"file": "compose.yml", "env": {"JWT_SECRET": value, "WAKAPI_PASSWORD_SALT": value}}
    assert data["variants"]["app"]["env"] == {"ENCRYPTION_KEY": value, "SECRET_PASSWORD": value}
    assert "# Nothing sets these variables; add them as `compose: {file: …, env: {…}}`: SMTP_HOST" in (
        render_configuration(made)
    )


def test_secrets__of_laravel_have_the_length_that_it_needs(draft: Make) -> None:
    files = {
        "compose.yml": write_compose(app={"build": ".", "ports": [80], "env_file": ".env"}),
        "Dockerfile": "FROM php:8.4-apache",
        "composer.json": '{"require": {"laravel/framework": "^12"}}',
        ".env.example": "APP_KEY=SomeRandomString\n",
    }
    assert configure(draft(files))["variants"]["app"]["env"]["APP_KEY"].startswith("base64:")


def test_env_file__is_complete(draft: Make) -> None:
    compose = "services: {api: {build: ., ports: ['${PORT}:80']}}"
    made = draft({"compose.yml": compose, "Dockerfile": "FROM x", ".env": "PORT=1", ".env.example": "PORT=1"})
    assert list(made.env_files) == []


def test_settings__name_only_services_that_there_are(draft: Make) -> None:
    """As in dani-garcia/vaultwarden, whose tests read the variables of MySQL and MariaDB too."""
    files = {"Cargo.toml": 'diesel = { features = ["mysql", "postgres"] }', "x.rs": 'env("MYSQL_HOST") env("DB_HOST")'}
    assert configure(draft({"Dockerfile": "FROM x\nCOPY . .", **files}))["variants"]["web"]["env"] == {
        "DB_HOST": "{postgres.host}"
    }


def test_settings__keep_a_url_that_another_variable_would_hide(draft: Make) -> None:
    code = 'a = os.environ["CELERY_BROKER_URL"]\nb = os.environ["REDIS_URL"]\nc = os.environ["DATABASE_URL"]'
    data = configure(draft({"Dockerfile": "FROM python", "requirements.txt": "flask\nredis\npsycopg", "x.py": code}))
    assert data["variants"]["web"]["env"] == {"CELERY_BROKER_URL": "{redis.url}", "REDIS_URL": "{redis.url}"}


def test_settings__of_mysql_and_laravel(draft: Make) -> None:
    """As monica has it: its services are in a compose file that builds nothing which is in the repository."""
    files = {
        "compose.yml": write_compose(mysql={"image": "mysql:8"}),
        "Dockerfile": "FROM php:8.4-apache\nCOPY . .",
        "composer.json": '{"require": {"laravel/framework": "^12", "ext-pdo_mysql": "*"}}',
        "config/app.php": "env('APP_KEY'); env('DB_HOST'); env('DB_CONNECTION', 'sqlite'); env('SLACK_SECRET');",
        "package.json": '{"dependencies": {"mysql2": "1"}}',
    }
    variant = configure(draft(files))["variants"]["web"]
    assert variant["port"] == 80
    assert {name: variant["env"][name] for name in ("DB_HOST", "DB_CONNECTION")} == {
        "DB_HOST": "{mysql.host}",
        "DB_CONNECTION": "mysql",
    }
    assert len(base64.b64decode(variant["env"]["APP_KEY"].removeprefix("base64:"))) == 32
    assert "SLACK_SECRET" not in variant["env"]


def test_env_file__that_nothing_says_what_is_in_it(draft: Make) -> None:
    """As in most repositories of teams: `.env` is not under git, and has no example."""
    files = {
        "compose.yml": write_compose(api={"build": ".", "ports": [80], "env_file": [".env"]}, db={"image": "postgres"}),
        "Dockerfile": "FROM python",
        "requirements.txt": "flask\npsycopg\n",
        "app.py": 'a = os.environ["DB_HOST"]\nb = os.environ.get("OTHER", "x")',
    }
    made = draft(files)
    text = render_configuration(made)
    assert "# Variables that the code requires: DB_HOST" in text
    assert "# The stack needs .env, which is not under git: create it here" in render_workflow(
        "bench.yml", made, lost_files=[".env"]
    )
    assert yaml.safe_load(render_workflow("bench.yml", made))


def test_env_file__whose_example_means_this_machine(draft: Make) -> None:
    """In a container, `localhost` is the container itself."""
    example = (
        "POSTGRES_HOST=localhost\nREDIS_URL=redis://127.0.0.1:6379/0\nSITE=http://localhost:3000\nMAIL=localhost.x\n"
    )
    files = {
        "compose.yml": write_compose(
            api={
                "build": ".",
                "ports": [80],
                "env_file": [".env"],
                "environment": {"MONGO_URL": "mongodb://localhost/x"},
            },
            db={"image": "postgis/postgis"},
            cache={"image": "redis"},
            docs={"image": "mongo:7"},
        ),
        "Dockerfile": "FROM python",
        ".env.example": example,
    }
    assert configure(draft(files))["variants"]["api"]["env"] == {
        "POSTGRES_HOST": "db",
        "REDIS_URL": "redis://cache:6379/0",
        "MONGO_URL": "mongodb://docs/x",
    }


def test_settings__of_a_database_that_nothing_sets(draft: Make) -> None:
    """As in 10-highthon/server: Prisma requires DATABASE_URL, and the compose file sets nothing."""
    files = {
        "compose.yml": write_compose(api={"build": ".", "ports": [80]}, db={"image": "postgres"}),
        "Dockerfile": "FROM node",
        "package.json": '{"dependencies": {"prisma": "6"}}',
        "prisma/schema.prisma": 'datasource db {\n provider = "postgresql"\n url = env("DATABASE_URL")\n}',
    }
    variant = configure(draft(files))["variants"]["api"]
    assert variant["env"] == {"DATABASE_URL": "{db.url}"}
    assert variant["setup"] == ["npx", "prisma", "db", "push"]
    files |= {"prisma/migrations/1/migration.sql": ""}
    assert configure(draft(files))["variants"]["api"]["setup"] == ["npx", "prisma", "migrate", "deploy"]
    files["compose.yml"] = write_compose(
        api={"build": ".", "ports": [80], "environment": {"DATABASE_URL": "x"}}, db={"image": "postgres"}
    )
    assert "env" not in configure(draft(files))["variants"]["api"]


def test_env_file__of_a_developer_is_not_copied(draft: Make) -> None:
    """It is not under git, and may contain a password."""
    files = {
        "compose.yml": write_compose(
            api={"build": ".", "ports": [80], "env_file": [".env"]}, db={"image": "postgres"}, cache={"image": "redis"}
        ),
        "Dockerfile": "FROM python",
        ".env": "DATABASE_URL=postgresql://me:pa55@localhost/x\nJWT_SECRET=pa55\n",
        ".env.example": "DATABASE_URL=\nREDIS_URL=redis://localhost\n",
    }
    text = render_configuration(draft(files))
    assert "pa55" not in text
    assert "redis://cache" in text


@pytest.mark.parametrize("place", ["", "shop/"])
@pytest.mark.parametrize("ignored", [True, False])
def test_env_file__of_a_developer_is_no_part_of_the_repository(
    draft: Make, tmp_path: Path, ignored: bool, place: str
) -> None:
    """A clone lacks it, so the workflow has to copy its example, and what it sets is nobody else's business."""
    compose = """
services:
  api: {build: ., ports: [80], env_file: [other.env], environment: {DATABASE_URL: "${DATABASE_URL}"}}
  db: {image: postgres}
"""
    files = {
        ".git/refs/x": "",
        ".gitignore": ".env\nother.env\n" if ignored else "",
        f"{place}compose.yml": compose,
        f"{place}Dockerfile": "FROM python",
        f"{place}.env": "DATABASE_URL=postgresql://me:pa55@localhost/x\n",
        f"{place}.env.example": "DATABASE_URL=postgresql://you@localhost/x\n",
        f"{place}other.env": "A=1\n",
    }
    draft({"Dockerfile": "FROM x", **files})
    made = make_draft(tmp_path / place)
    assert list(made.env_files) == ([(".env", ".env.example")] if ignored else [])
    assert [file for file, _ in made.lost_files] == (["other.env"] if ignored else [])
    given = "you" if ignored else "me:pa55"
    assert configure(made)["variants"]["api"]["env"] == {"DATABASE_URL": f"postgresql://{given}@db/x"}


def test_env_file__that_may_be_missing(draft: Make) -> None:
    services = {"api": {"build": ".", "ports": [80], "env_file": [{"path": "other.env", "required": False}]}}
    made = draft({"compose.yml": write_compose(**services), "Dockerfile": "FROM python"})
    assert (list(made.env_files), list(made.lost_files)) == ([], [])


@pytest.mark.parametrize(("driver", "kind"), [("org.postgresql", "postgres"), ("mysql-connector-j", "mysql")])
def test_settings__of_spring(draft: Make, driver: str, kind: str) -> None:
    pom = f"<artifactId>spring-boot-starter-web</artifactId><artifactId>{driver}</artifactId>"
    env = configure(draft({"Dockerfile": "FROM eclipse-temurin:21\nEXPOSE 8080", "pom.xml": pom}))["variants"]["web"][
        "env"
    ]
    scheme = {"postgres": "postgresql"}.get(kind, kind)
    assert env == {
        "SPRING_DATASOURCE_URL": f"jdbc:{scheme}://{{{kind}.host}}:{{{kind}.port}}/{{{kind}.database}}",
        "SPRING_DATASOURCE_USERNAME": f"{{{kind}.user}}",
        "SPRING_DATASOURCE_PASSWORD": f"{{{kind}.password}}",
    }


@pytest.mark.parametrize(
    ("requirements", "code", "url"),
    [
        ("sqlmodel\nasyncpg", "postgresql+asyncpg", "postgres"),
        ("sqlalchemy\npsycopg[binary]", "postgresql+psycopg", "postgres"),
        ("SQLAlchemy\nPyMySQL", "mysql+pymysql", "mysql"),
        ("sqlalchemy\naiomysql", "mysql+aiomysql", "mysql"),
    ],
)
def test_settings__have_the_scheme_of_the_driver(draft: Make, requirements: str, code: str, url: str) -> None:
    files = {"Dockerfile": "FROM python", "requirements.txt": requirements, "x.py": 'os.environ["DATABASE_URL"]'}
    env = configure(draft(files))["variants"]["web"]["env"]
    parts = f"{{{url}.user}}:{{{url}.password}}@{{{url}.host}}:{{{url}.port}}/{{{url}.database}}"
    assert env["DATABASE_URL"] == f"{code}://{parts}"


@pytest.mark.parametrize("requirements", ["sqlalchemy\npsycopg2-binary", "flask\npsycopg"])
def test_settings__have_the_usual_scheme_otherwise(draft: Make, requirements: str) -> None:
    files = {"Dockerfile": "FROM python", "requirements.txt": requirements, "x.py": 'os.environ["DATABASE_URL"]'}
    assert "env" not in configure(draft(files))["variants"]["web"]


@pytest.mark.parametrize(
    ("file", "text", "env"),
    [
        ("config.py", "class Settings(BaseSettings):\n    db_host: str\n    debug: bool = False\n", {"DB_HOST"}),
        (
            "src/env.ts",
            "  JWT_SECRET: z.string().min(32),\n  DB_HOST: Joi.string().optional(),\n",
            {"JWT_SECRET", "DB_HOST"},
        ),
        ("src/app.ts", "configService.getOrThrow<string>('DB_HOST')", {"DB_HOST"}),
        ("config.go", 'type Config struct {\n  Host string `mapstructure:"DB_HOST"`\n}', {"DB_HOST"}),
        ("Api/Program.cs", 'x.GetConnectionString("Default")', {"ConnectionStrings__Default"}),
    ],
)
def test_settings__that_a_schema_declares(draft: Make, file: str, text: str, env: set[str]) -> None:
    files = {
        "Dockerfile": "FROM mcr.microsoft.com/dotnet/aspnet:9.0" if file.endswith(".cs") else "FROM x",
        "requirements.txt": "psycopg",
        "package.json": '{"dependencies": {"pg": "8"}}',
        "Api/Api.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web"><PackageReference Include="Npgsql" />',
        file: text,
    }
    found = configure(draft(files))["variants"]["web"]["env"]
    assert set(found) == env
    if file.endswith(".cs"):
        assert found["ConnectionStrings__Default"].startswith("Host={postgres.host};Port={postgres.port};")


def test_settings__of_mongo_in_the_compose_file(draft: Make) -> None:
    files = {
        "compose.yml": write_compose(docs={"image": "mongo:7"}),
        "Dockerfile": "FROM node",
        "package.json": '{"dependencies": {"mongoose": "8"}}',
        "x.js": "mongoose.connect(process.env.MONGO_URI)",
    }
    assert configure(draft(files))["variants"]["web"]["env"] == {"MONGO_URI": "mongodb://{docs.host}:{docs.port}/bench"}


def test_settings__of_laravel_sail(draft: Make) -> None:
    """Its service is called as if it ran tests, and needs the account's numbers."""
    compose = """
services:
  laravel.test:
    build: {context: ./docker, args: {WWWGROUP: '${WWWGROUP}'}}
    ports: ['80:80']
"""
    data = configure(draft({"compose.yml": compose, "docker/Dockerfile": "FROM ubuntu"}))
    assert data["compose"] == {"file": "compose.yml", "env": {"WWWGROUP": "1000"}}
    assert list(data["variants"]) == ["laravel-test"]


def test_settings__with_a_block_of_ruby_have_a_default(draft: Make) -> None:
    code = 'threads ENV.fetch("RAILS_MAX_THREADS") { 5 }\nkey = ENV.fetch("API_ACCOUNT")\n'
    made = draft({"Dockerfile": "FROM ruby", "Gemfile": 'gem "rails"', "config/puma.rb": code})
    assert [setting.name for setting in made.settings] == ["API_ACCOUNT", "SECRET_KEY_BASE"]


@pytest.mark.parametrize(
    ("file", "code", "required", "optional"),
    [
        (
            "config/runtime.exs",
            """
url =
  System.get_env("DATABASE_URL") ||
    raise "x"
a = System.get_env("POOL_SIZE") || "10"
b = System.get_env("MIX_PORT", "1")
key = System.fetch_env!("ACCOUNT_KEY")
c = System.fetch_env("MAYBE_KEY")
""",
            {"DATABASE_URL", "ACCOUNT_KEY"},
            {"POOL_SIZE", "MIX_PORT", "MAYBE_KEY"},
        ),
        (
            "src/main.rs",
            """
let a = std::env::var("DATABASE_URL").expect("set it");
let b = env::var("ACCOUNT_KEY")
    .unwrap();
let c = env::var("HOST_NAME").unwrap_or_else(|_| "x".into());
let d = env::var_os("DATA_DIR");
let e = env::var("REGION")?;
""",
            {"DATABASE_URL", "ACCOUNT_KEY", "REGION"},
            {"HOST_NAME", "DATA_DIR"},
        ),
        (
            "Api/Program.cs",
            """
var a = Environment.GetEnvironmentVariable("DATABASE_URL") ?? throw new Exception();
var b = Environment.GetEnvironmentVariable("HOST_NAME") ?? "x";
var c = Environment.GetEnvironmentVariable("REGION")?.Trim();
""",
            {"DATABASE_URL"},
            {"HOST_NAME", "REGION"},
        ),
    ],
)
def test_variables__of_elixir_rust_and_dotnet(file: str, code: str, required: set[str], optional: set[str]) -> None:
    found = find_variables(Sources(Path(), (file,), {file: code}))
    assert {variable.name for variable in found if variable.required} == required
    assert {variable.name for variable in found if not variable.required} == optional


def test_read_variables__reads_values_as_compose_does(tmp_path: Path) -> None:
    text = """
PLAIN=a b
export SHELL_LIKE=x
COMMENT=a # not part of it
EMPTY=# only a comment
FRAGMENT=a#b
SINGLE='a # $PLAIN' # a comment
DOUBLE="a # b" # a comment
QUOTE="a \\" b"
USER=me
URL=postgres://${USER}:$PASSWORD_LATER@localhost/x
ADDRESS=http://$USER.example/${MISSING:-fallback}
QUOTED="${USER} too"
PASSWORD_LATER=x
JSON={"a": "b"}
"""
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    assert read_variables(tmp_path / ".env", tmp_path) == {
        "PLAIN": "a b",
        "SHELL_LIKE": "x",
        "COMMENT": "a",
        "EMPTY": "",
        "FRAGMENT": "a#b",
        "SINGLE": "a # $PLAIN",
        "DOUBLE": "a # b",
        "QUOTE": 'a " b',
        "USER": "me",
        "URL": "postgres://${USER}:$PASSWORD_LATER@localhost/x",
        "ADDRESS": "http://me.example/fallback",
        "QUOTED": "me too",
        "PASSWORD_LATER": "x",
        "JSON": '{"a": "b"}',
    }


def test_env_file__whose_example_is_made_of_other_variables(draft: Make) -> None:
    """A run would refuse `${DB_PASSWORD}` in the configuration, as a secret that is not listed."""
    files = {
        "compose.yml": write_compose(
            api={"build": ".", "ports": [80], "env_file": [".env"]}, db={"image": "postgres"}, cache={"image": "redis"}
        ),
        "Dockerfile": "FROM python",
        ".env.example": (
            "DB_USER=me\nDATABASE_URL=postgresql://${DB_USER}:x@localhost/x # for development\n"
            "OTHER_DATABASE_URL=postgresql://me:${DB_PASSWORD}@localhost/x\nJWT_SECRET=# openssl rand\n"
        ),
    }
    assert configure(draft(files))["variants"]["api"]["env"] == {
        "DATABASE_URL": "postgresql://me:x@db/x",
        "JWT_SECRET": "benchmark-benchmark-benchmark-benchmark",
    }
