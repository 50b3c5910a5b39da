"""Our Docker engine against a real one: what it creates, what it notices, and that it removes everything again."""

import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from docker.errors import APIError
from tests.docker.conftest import make_owner, open_engine
from tests.docker.footprint import Footprint

from bench_action.engine.docker import DockerEngine
from bench_action.engine.docker.health import ran_out_of_memory
from bench_action.engine.docker.labels import make_labels
from bench_action.engine.ownership import Ownership, Process
from bench_action.engine.protocol import BuildSpec, ContainerForm, Exit, ServiceSpec
from bench_action.model.errors import StackError
from bench_action.stack.probes import CommandProbe, make_log_probe
from bench_action.stack.readiness import ReadinessCheck, wait_until_ready

pytestmark = pytest.mark.docker

WAIT_S = 60.0
LABELS = {"bench-action", "bench-action.run", "bench-action.repository", "bench-action.expires", "bench-action.process"}

Tiny = Callable[..., ServiceSpec]


def wait_for_end(engine: DockerEngine) -> Exit:
    """Wait until some part of the run exits, and return it."""
    deadline = time.monotonic() + WAIT_S
    while not (ended := engine.ended()):
        assert time.monotonic() < deadline, "nothing has exited"
        time.sleep(0.05)
    return ended[0]


def test_start__sets_labels_and_publishes_and_mounts_nothing(
    engine: DockerEngine, tiny: Tiny, footprint: Footprint
) -> None:
    handle = engine.start(tiny())
    container = footprint.client.api.inspect_container(handle.id)
    assert set(container["Config"]["Labels"]) >= LABELS
    assert container["Config"]["Labels"]["bench-action"] == ""
    assert not container["HostConfig"]["PortBindings"]
    assert not container["HostConfig"]["PublishAllPorts"]
    host = container["HostConfig"]
    assert not host["Privileged"]
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges:true"])
    assert host["Memory"] == host["MemorySwap"] == handle.memory_limit > 0
    assert host["PidsLimit"] == handle.process_limit > 0
    assert not container["HostConfig"]["Binds"]
    (name,) = container["NetworkSettings"]["Networks"]
    network = footprint.client.api.inspect_network(name)
    assert set(network["Labels"]) >= LABELS


def test_start__hides_the_proxies_of_dockers_configuration(
    footprint: Footprint, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = {"default": {"httpProxy": "http://user:password@proxy:3128", "noProxy": "none"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with open_engine(footprint) as engine:
        handle = engine.start(tiny())
        environment = footprint.client.api.inspect_container(handle.id)["Config"]["Env"]
    assert [text for text in environment if "proxy" in text.lower()] == []


def test_start__reports_what_it_could_not_start(engine: DockerEngine, tiny: Tiny) -> None:
    with pytest.raises(StackError, match="could not start tiny") as caught:
        engine.start(tiny(command=("no-such-program",)))
    assert "no-such-program" in caught.value.cause


def test_remove__removes_the_volumes_of_an_image(footprint: Footprint, tiny: Tiny) -> None:
    with open_engine(footprint) as engine:
        handle = engine.start(tiny())
        mounts = footprint.client.api.inspect_container(handle.id)["Mounts"]
        (volume,) = [mount["Name"] for mount in mounts if mount["Type"] == "volume"]
        assert volume in footprint.volumes()
    assert volume not in [item["Name"] for item in footprint.client.api.volumes()["Volumes"] or []]


def test_remove__waits_for_what_is_being_created(footprint: Footprint, tiny: Tiny) -> None:
    before = footprint.left()
    with open_engine(footprint) as engine:
        refused: list[StackError] = []

        def start(number: int) -> None:
            try:
                engine.start(tiny(f"tiny-{number}"))
            except StackError as error:
                refused.append(error)

        threads = [threading.Thread(target=start, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        engine.remove()
        assert footprint.left() == before
        for thread in threads:
            thread.join(WAIT_S)
        assert footprint.left() == before
        with pytest.raises(StackError, match="being removed"):
            engine.start(tiny())


def test_exec__returns_status_and_output(engine: DockerEngine, tiny: Tiny) -> None:
    handle = engine.start(tiny())
    status, output = engine.exec(handle, ["sh", "-c", "echo out; echo err >&2; exit 5"])
    assert (status, sorted(output.split())) == (5, ["err", "out"])


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the headers of the engine's answers late, as a busy machine does: the first output comes with them."""
    begin = http.client.HTTPResponse.begin

    def wait(response: http.client.HTTPResponse) -> None:
        time.sleep(0.4)
        begin(response)

    monkeypatch.setattr(http.client.HTTPResponse, "begin", wait)


@pytest.mark.usefixtures("late")
def test_exec__loses_no_output_if_its_answer_is_read_late(engine: DockerEngine, tiny: Tiny) -> None:
    handle = engine.start(tiny("early"))
    assert engine.exec(handle, ["echo", "early"]) == (0, "early\n")


@pytest.mark.usefixtures("late")
def test_session__loses_no_line_if_its_answer_is_read_late(engine: DockerEngine, tiny: Tiny) -> None:
    talking = engine.session(engine.start(tiny("early")), ["sh", "-c", "echo ready; exec cat"])
    assert talking.read_line(10) == "ready"
    talking.send("hello\n")
    assert talking.read_line(10) == "hello"


def test_session__talks_line_by_line(engine: DockerEngine, tiny: Tiny) -> None:
    session = engine.session(engine.start(tiny()), ["cat"])
    long = "ä" * 70_000  # more than one frame of the engine's stream
    session.send(f"one\n{long}\nthree, unfinished")
    assert [session.read_line(WAIT_S) for _ in range(2)] == ["one", long]
    assert session.read_line(0.1) is None
    session.send(", finished\n")
    assert session.read_line(WAIT_S) == "three, unfinished, finished"
    session.close()


def test_session__reports_what_its_program_wrote_before_it_exited(engine: DockerEngine, tiny: Tiny) -> None:
    session = engine.session(engine.start(tiny()), ["sh", "-c", "echo no such option >&2; exit 2"])
    with pytest.raises(StackError, match="a helper program exited unexpectedly") as caught:
        session.read_line(WAIT_S)
    assert caught.value.where == "sh in the container of tiny"
    assert caught.value.log == ("no such option",)


def test_session__reports_that_its_container_was_killed(engine: DockerEngine, tiny: Tiny, footprint: Footprint) -> None:
    handle = engine.start(tiny())
    session = engine.session(handle, ["cat"])
    session.send("there?\n")
    assert session.read_line(WAIT_S) == "there?"
    footprint.client.api.kill(handle.id)
    with pytest.raises(StackError, match="tiny exited with status 137"):
        session.read_line(WAIT_S)


def test_ended__reports_the_exit_status(engine: DockerEngine, tiny: Tiny) -> None:
    engine.start(tiny("lasting"))
    handle = engine.start(tiny("dying", DIE_AT_START="no reason"))
    end = wait_for_end(engine)
    assert end == Exit(handle, 3, out_of_memory=False)
    assert str(end) == "exited with status 3"
    assert engine.logs(handle) == ["no reason"]


def test_ended__reports_that_memory_ran_out(engine: DockerEngine, tiny: Tiny) -> None:
    spec = tiny(command=("python", "-c", "x = b'x' * (1 << 30)"))
    engine.start(replace(spec, container=ContainerForm(memory=32 << 20)))
    assert str(wait_for_end(engine)) == "ran out of memory and was killed (limit 32 MiB)"


def test_ran_out_of_memory__is_heard_of_after_the_exit(engine: DockerEngine, tiny: Tiny, footprint: Footprint) -> None:
    spec = tiny(command=("python", "-c", "x = b'x' * (1 << 30)"))
    short = engine.start(replace(spec, name="short", container=ContainerForm(memory=32 << 20)))
    ample = engine.start(tiny("ample"))
    footprint.client.api.kill(ample.id)
    for handle, expected in ((short, True), (ample, False)):
        footprint.client.api.wait(handle.id)
        state = footprint.client.api.inspect_container(handle.id)["State"] | {"OOMKilled": False}
        assert ran_out_of_memory(footprint.client, handle.id, state) is expected


def test_ended__leaves_out_what_was_stopped_on_purpose(engine: DockerEngine, tiny: Tiny, footprint: Footprint) -> None:
    handle = engine.start(tiny())
    engine.stop(handle)
    assert engine.ended() == []
    engine.restart(handle)
    assert engine.ended() == []
    footprint.client.api.kill(handle.id)
    assert wait_for_end(engine).handle == handle


def test_replace__is_a_new_container_on_the_same_cpus(engine: DockerEngine, tiny: Tiny, footprint: Footprint) -> None:
    spec = tiny(command=("sleep", "600"))
    handle = engine.start(spec)
    before = footprint.containers()
    assert engine.exec(handle, ["touch", "/left"])[0] == 0
    engine.pin(handle, [0])
    engine.stop(handle, 0)
    again = engine.replace(handle, replace(spec, env={"PYTHONHASHSEED": "7"}))
    assert {"PYTHONHASHSEED", "PATH"} <= set(engine.describe_program(again).variables)
    assert engine.describe_program(again).words == ["sleep", "600"]
    assert engine.exec(again, ["printenv", "PYTHONHASHSEED"]) == (0, "7\n")
    assert engine.exec(again, ["test", "-e", "/left"])[0] == 1
    assert footprint.client.api.inspect_container(again.id)["HostConfig"]["CpusetCpus"] == "0"
    assert replace(again, id=handle.id) == handle
    assert again.id != handle.id
    assert engine.ended() == []
    assert len(footprint.containers()) == len(before)
    engine.stop(again, 0)
    third = engine.replace(again, replace(spec, env={"PYTHONHASHSEED": "8"}))
    assert engine.exec(third, ["printenv", "PYTHONHASHSEED"]) == (0, "8\n")


@pytest.mark.parametrize("step", ["create", "start"])
def test_start__that_fails_leaves_no_container_with_the_name(
    engine: DockerEngine, tiny: Tiny, footprint: Footprint, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise APIError("no space left on device")

    before = footprint.containers()
    with monkeypatch.context() as patched:
        if step == "create":
            patched.setattr("bench_action.engine.docker.engine.put_files", refuse)
        with pytest.raises(StackError):
            engine.start(tiny(command=("no-such-program",)))
    assert footprint.containers() == before
    engine.start(tiny())


def test_logs__returns_the_last_lines(engine: DockerEngine, tiny: Tiny) -> None:
    handle = engine.start(tiny(command=("sh", "-c", "seq 100; exit 1")))
    wait_for_end(engine)
    assert engine.logs(handle, 3) == ["98", "99", "100"]


def test_run_once__leaves_no_container(engine: DockerEngine, tiny: Tiny, footprint: Footprint) -> None:
    before = footprint.containers()
    engine.run_once(tiny(command=("true",)), WAIT_S)
    assert footprint.containers() == before


def test_run_once__reports_status_command_and_log(engine: DockerEngine, tiny: Tiny, footprint: Footprint) -> None:
    before = footprint.containers()
    with pytest.raises(StackError, match="tiny exited with status 4") as caught:
        engine.run_once(tiny(command=("sh", "-c", "echo no migrations; exit 4")), WAIT_S)
    assert caught.value.where == "command: sh -c echo no migrations; exit 4"
    assert caught.value.log == ("no migrations",)
    assert footprint.containers() == before


def test_run_once__does_not_wait_forever(engine: DockerEngine, tiny: Tiny, footprint: Footprint) -> None:
    before = footprint.containers()
    with pytest.raises(StackError, match="tiny did not finish within 1 s") as caught:
        engine.run_once(tiny(command=("sh", "-c", "echo waiting; sleep 600")), 1.0)
    assert caught.value.log == ("waiting",)
    assert footprint.containers() == before  # what goes on would use the database of the slot


def test_image__reports_one_that_cannot_be_pulled(engine: DockerEngine) -> None:
    assert not engine.has_image("localhost:1/nobody:1")
    with pytest.raises(StackError, match="could not pull image localhost:1/nobody:1"):
        engine.image("localhost:1/nobody:1", "other")


def test_build__uses_target_and_arguments_and_excludes_what_is_ignored(engine: DockerEngine, tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text(
        "FROM python:3.13-slim AS wanted\nARG WORD\nCOPY . /it\nRUN echo $WORD > /word\nFROM wanted\nRUN exit 1\n",
        encoding="utf-8",
    )
    (tmp_path / ".dockerignore").write_text("# not this\nsecret\n", encoding="utf-8")
    (tmp_path / "secret").touch()
    (tmp_path / "public").touch()
    spec = BuildSpec("subject", "bench-action/test-target", tmp_path, "Containerfile", "wanted", {"WORD": "hello"})
    image = engine.build(spec)
    handle = engine.start(ServiceSpec("subject", "built", image, command=("sleep", "600")))
    status, output = engine.exec(handle, ["sh", "-c", "cat /word; ls /it"])
    assert status == 0
    assert output.split()[0] == "hello"
    assert "public" in output
    assert "secret" not in output


def test_build__reports_readable_lines_of_a_failed_build(engine: DockerEngine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.13-slim\nRUN echo cannot link >&2; exit 9\n", encoding="utf-8")
    with pytest.raises(StackError, match="could not build image bench-action/test-broken") as caught:
        engine.build(BuildSpec("subject", "bench-action/test-broken", tmp_path))
    assert any("cannot link" in line for line in caught.value.log)
    assert not any("\x1b" in line for line in caught.value.log)


@pytest.mark.sweeps
def test_sweep__removes_what_dead_runs_left_behind_and_nothing_else(footprint: Footprint) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        dead = str(Process.from_pid(process.pid))
        process.kill()
    living = make_owner(footprint)
    elsewhere = Process.from_pid(os.getpid())
    assert elsewhere is not None
    owners = {
        "dead": replace(living, process=dead),
        "forgotten": replace(living, process="", expires_at=1),
        "living": living,
        "elsewhere": replace(living, process=str(replace(elsewhere, machine="another machine"))),
    }
    labels = {name: make_labels(owner) for name, owner in owners.items()}
    labels["somebodys"] = {"bench-action.repository": footprint.repository, "bench-action.process": dead}
    sweeper = DockerEngine(living, dict(os.environ))
    prefix = f"test-sweep-{os.getpid()}"
    for name, marks in labels.items():
        footprint.client.containers.create("python:3.13-slim", name=f"{prefix}-{name}", labels=marks)
        footprint.client.networks.create(f"{prefix}-{name}", labels=marks)
    try:
        swept = sweeper.sweep()
        for names in (footprint.containers(), footprint.networks()):
            assert [name for name in names if name.startswith(prefix)] == [
                f"{prefix}-{name}" for name in ("elsewhere", "living", "somebodys")
            ]
        assert sorted(name for name in swept if name.startswith(prefix)) == [
            f"{prefix}-{name}" for name in ("dead", "dead", "forgotten", "forgotten")
        ]
    finally:
        footprint.remove(prefix)
        sweeper.remove()


def test_machine__describes_this_one(engine: DockerEngine) -> None:
    machine = engine.machine()
    assert machine.cores >= 1
    assert machine.memory_mib > 0
    assert machine.kernel
    assert "cgroup v" in machine.engine_version


def test_owner__is_a_living_process(footprint: Footprint) -> None:
    process = Process.parse(make_owner(footprint).process)
    assert process is not None
    assert process.is_running()
    assert Ownership.claim("x", "y").process == str(process)


def test_exec__does_not_succeed_if_its_container_dies(engine: DockerEngine, tiny: Tiny) -> None:
    handle = engine.start(tiny())
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(engine.exec, handle, ["sh", "-c", "touch /tmp/here; sleep 600"])
        deadline = time.monotonic() + WAIT_S
        while engine.exec(handle, ["test", "-e", "/tmp/here"])[0]:  # noqa: S108 (in the container)
            assert time.monotonic() < deadline
        engine.stop(handle, grace_s=0)
        try:
            status, _ = pending.result()
        except StackError:
            return
    assert status != 0


def test_probes__read_the_healthcheck_and_the_output_since_the_last_start(
    engine: DockerEngine, tiny_image: str
) -> None:
    script = "echo started $(cat /proc/sys/kernel/random/uuid); sleep 600"
    handle = engine.start(ServiceSpec("other", "memo", tiny_image, command=["sh", "-c", script], slot="a"))
    assert engine.find_healthcheck(handle) == ["/bin/sh", "-c", "test -e /well || { echo unwell; exit 4; }"]

    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_log_probe(engine, handle, "^started"))])
    (first,) = engine.read_output(handle)
    engine.stop(handle, 0)
    engine.restart(handle)
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, make_log_probe(engine, handle, "^started"))])
    assert engine.read_output(handle) != [first]
    assert len(engine.read_output(handle)) == 1

    health = CommandProbe(engine, handle, engine.find_healthcheck(handle) or [], "its healthcheck")
    with pytest.raises(StackError) as caught:
        wait_until_ready(engine, [ReadinessCheck(handle, 1.5, health)])
    assert caught.value.cause == "its healthcheck exited with status 4: unwell"
    assert engine.exec_inside(handle, ["touch", "/well"])[0] == 0
    wait_until_ready(engine, [ReadinessCheck(handle, WAIT_S, health)])
    assert engine.exec_inside(handle, ["no-such-program"])[0] in {126, 127}


def test_start__preloads_what_the_image_of_postgres_does(engine: DockerEngine, footprint: Footprint) -> None:
    client, name = footprint.client, "bench-action-test-preloading"
    line = "shared_preload_libraries = 'auto_explain'"
    script = (
        f"find /usr/share/postgresql -name '*.conf.sample' -type f | while read -r f; do echo \"{line}\" >>$f; done"
    )
    changed = client.containers.run(
        "postgres:17", ["sh", "-c", script], labels={"bench-action.test": "preloading"}, detach=True
    )
    try:
        assert changed.wait()["StatusCode"] == 0
        changed.commit(name)
        before = len(footprint.containers())
        handle = engine.start(ServiceSpec("postgres", "postgres", name, env={"POSTGRES_PASSWORD": "x"}, slot="a"))
        command = client.api.inspect_container(handle.id)["Config"]["Cmd"]
        assert "shared_preload_libraries=auto_explain,pg_stat_statements" in command
        assert len(footprint.containers()) == before + 1, "the one that was only read is gone"
        engine.stop(handle)
    finally:
        changed.remove(v=True, force=True)
        client.images.remove(name, force=True)


def test_clone__copies_each_volume_to_where_it_was(engine: DockerEngine) -> None:
    """The engine lists a container's volumes in any order, with those that its image does not declare."""
    volumes = [f"/backups/{number}" for number in range(6)]
    spec = ServiceSpec(
        "postgres",
        "postgres",
        "postgres:17",
        env={"POSTGRES_PASSWORD": "x"},
        slot="a",
        container=ContainerForm(volumes=volumes),
    )
    origin = engine.start(spec)
    write = "for at in $(seq 100); do pg_isready -h 127.0.0.1 && exec touch $PGDATA/marker; sleep 0.2; done; exit 1"
    assert engine.exec(origin, ["sh", "-c", write])[0] == 0
    (copy,) = engine.clone(origin, [replace(spec, name="copy")])
    assert engine.exec(copy, ["sh", "-c", "ls $PGDATA/marker"])[0] == 0
