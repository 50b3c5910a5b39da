"""The machines of a run, as options, inputs and the configuration name them."""

import pytest

from bench_action.config.levels import find_profile, spread_levels
from bench_action.config.load import load_project
from bench_action.model.errors import InputError
from bench_action.model.hosts import Host, Hosts


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("ssh://bench@10.0.0.7", Host("ssh://bench@10.0.0.7", "10.0.0.7", "bench")),
        ("ssh://db.example.org:2222", Host("ssh://db.example.org:2222", "db.example.org", port=2222)),
        ("ssh://[fe80::1]", Host("ssh://[fe80::1]", "fe80::1")),
        (
            "ssh://a@b/run/user/1000/docker.sock",
            Host("ssh://a@b/run/user/1000/docker.sock", "b", "a", socket="/run/user/1000/docker.sock"),
        ),
        ("unix:///run/docker.sock", Host("unix:///run/docker.sock", socket="/run/docker.sock")),
    ],
)
def test_host__is_read(url: str, host: Host) -> None:
    assert Host.parse(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "bench@10.0.0.7",
        "tcp://10.0.0.7:2375",
        "ssh://",
        "ssh://-oProxyCommand=id",
        "ssh://-l@host",
        "ssh://host:99999",
        "ssh://user:password@host",
        "ssh://host/run/docker.sock:/x",
        "ssh://host\n",
        "unix://docker.sock",
    ],
)
def test_host__that_is_no_address_or_an_option_of_ssh_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as ssh://"):
        Host.parse(url)


def test_hosts__of_roles_that_are_left_out() -> None:
    alone = Hosts.read(["app=ssh://a"])
    assert {role: [host.name for host in hosts] for role, hosts in alone.by_role.items()} == {
        "app": ["a"], "services": ["a"], "load": ["a"]
    }  # fmt: skip
    assert len(alone.all) == 1
    two = Hosts.read(["app=ssh://a", "services=ssh://b"])
    assert [host.name for host in two.by_role["load"]] == ["b"]
    more = Hosts.read(["app=ssh://a", "load=ssh://l1", "load=ssh://l2", "mtu=1350"])
    assert [host.name for host in more.by_role["load"]] == ["l1", "l2"]
    assert (more.mtu, [host.name for host in more.all]) == (1350, ["a", "l1", "l2"])
    assert Hosts.read(more.texts) == more


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["services=ssh://a"], "app"),
        (["app=ssh://a", "app=ssh://b"], "twice"),
        (["app=ssh://a", "database=ssh://b"], "database"),
        (["app=a"], "expected an address"),
        (["app=ssh://a", "mtu=50"], "mtu"),
    ],
)
def test_hosts__that_are_wrong_are_named(texts: list[str], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        Hosts.read(texts)
    assert problem in str(caught.value)


def test_levels__replace_each_profile_and_keep_its_work(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "bench.yml").write_text(
        "variants: {api: {image: x, port: 80}}\n"
        "profiles:\n"
        "  home: {path: /, connections: 10, threads: 10, duration: 1s}\n"
        "  steady: {path: /, connections: 10, threads: 2, duration: 1s, rate: 100/s}\n"
        "work: {home: {queries: 1}}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    project = load_project(None, "capacity")
    levels = {name: profile for name, profile in project.profiles.items() if name != "steady"}
    assert {profile.connections for profile in levels.values()} == {16, 32, 64, 128, 256, 512}
    assert all(profile.connections % profile.threads == 0 and profile.duration == 10 for profile in levels.values())
    assert project.profiles["steady"].connections == 10
    assert set(project.config.all_work) == set(levels)
    assert {find_profile(name, profile.connections) for name, profile in project.profiles.items()} == {"home", "steady"}
    assert spread_levels(project) == project
