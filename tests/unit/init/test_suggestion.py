"""The Dockerfile that is suggested to an application without one."""

from pathlib import Path

import pytest

from bench_action.init.frameworks import find_framework
from bench_action.init.sources import Sources
from bench_action.init.suggestion import suggest_dockerfile

pytestmark = pytest.mark.unit

WEB = '<Project Sdk="Microsoft.NET.Sdk.Web"><TargetFramework>net8.0</TargetFramework></Project>'


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        (
            {"requirements.txt": "django==5", "manage.py": "", "shop/wsgi.py": "", ".python-version": "3.12"},
            ["FROM python:3.12-slim", 'CMD ["gunicorn", "--bind", "0.0.0.0:8000", "shop.wsgi"]'],
        ),
        (
            {"requirements.txt": "django==5", "manage.py": "", "tests/site/wsgi.py": "", "config/site/wsgi.py": ""},
            ['CMD ["gunicorn", "--bind", "0.0.0.0:8000", "config.site.wsgi"]'],
        ),
        (
            {"requirements.txt": "django==5", "src/manage.py": "", "src/shop/wsgi.py": ""},
            ['CMD ["gunicorn", "--bind", "0.0.0.0:8000", "PROJECT.wsgi"]'],
        ),
        ({"requirements.txt": "django==5"}, ['CMD ["gunicorn", "--bind", "0.0.0.0:8000", "PROJECT.wsgi"]']),
        (
            {"src/Web/Web.csproj": WEB, "src/Data/Data.csproj": '<Project Sdk="Microsoft.NET.Sdk" />'},
            [
                "RUN dotnet publish src/Web/Web.csproj --configuration Release --output /app",
                "FROM mcr.microsoft.com/dotnet/aspnet:8.0",
                'CMD ["dotnet", "Web.dll"]',
            ],
        ),
        (
            {"Cargo.toml": '[package]\nedition = "2021"\nname = "shop-api"\n\n[dependencies]\naxum = "0.8"\n'},
            ["COPY --from=build /src/target/release/shop-api /app"],
        ),
        (
            {"Cargo.toml": '[workspace]\nmembers = ["a"]\n[workspace.dependencies]\naxum = "0.8"\n'},
            ["COPY --from=build /src/target/release/PROJECT /app"],
        ),
    ],
)
def test_suggestion__has_the_names_of_the_application(tmp_path: Path, files: dict[str, str], lines: list[str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    sources = Sources.from_folder(tmp_path)

    suggested = suggest_dockerfile(find_framework(sources), sources).splitlines()

    assert [line for line in lines if line not in suggested] == []
