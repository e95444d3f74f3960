"""The process: health, stopping, one server a directory and a port, reflection, options."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import grpc._cython
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sameas import v1
from sameas_service.server.options import OPTIONS
from support.api import SERVICES, Api, connected
from support.ledgers import left_behind
from support.servers import Server, running

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def batch(*ids: str) -> v1.IngestStreamRequest:
    request = v1.IngestStreamRequest()
    for message_id in ids:
        request.batch.items.add(
            track=v1.TrackRequest(message_id=message_id, user_id="u", event="e")
        )
    return request


@pytest.mark.parametrize("name", ["", *SERVICES])
def test_health_says_serving_of_the_whole_and_of_each_service(api: Api, name: str) -> None:
    health = health_pb2_grpc.HealthStub(api.channel)

    assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING


def test_health_does_not_know_other_services(api: Api) -> None:
    health = health_pb2_grpc.HealthStub(api.channel)

    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="sameas.v1.Other"))

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", ["", *SERVICES])
def test_a_watcher_learns_of_the_stop_and_the_server_ends_all_the_same(name: str) -> None:
    with running(DRAIN_SECONDS="0.5") as server, connected(server.target) as api:
        health = health_pb2_grpc.HealthStub(api.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=20)
        assert next(watch).status == SERVING

        server.process.terminate()

        assert next(watch).status == NOT_SERVING
        assert server.stop() == 0
        watch.cancel()


def test_a_call_under_way_ends_well_after_sigterm_and_what_it_wrote_is_there(
    fresh_server: Server,
) -> None:
    half_closed = threading.Event()
    release = threading.Event()

    def requests():
        yield batch("before")
        release.wait(10)
        yield batch("behind-1", "behind-2")
        half_closed.set()

    with connected(fresh_server.target) as api:
        answers = api.identity.IngestStream(requests(), timeout=20)
        assert next(answers).results[0].receipt.message_id == "before"

        fresh_server.process.terminate()
        _wait_until_it_takes_no_calls(fresh_server)
        release.set()
        rest = list(answers)
    exit_code = fresh_server.stop()

    assert half_closed.is_set()
    assert [r.receipt.message_id for a in rest for r in a.results] == ["behind-1", "behind-2"]
    assert exit_code == 0
    fresh_server.start()
    with connected(fresh_server.target) as api:
        found = {message.message_id for message in api.timeline(user_id="u")}
        assert found == {"before", "behind-1", "behind-2"}


def _wait_until_it_takes_no_calls(server: Server) -> None:
    deadline = time.monotonic() + 10
    code = None
    while code is None and time.monotonic() < deadline:
        with connected(server.target) as other:
            try:
                other.people(v1.PersonKey(user_id="u"))
            except grpc.RpcError as error:
                code = error.code()
    assert code is grpc.StatusCode.UNAVAILABLE


def test_calls_at_the_moment_of_sigterm_are_kept_or_may_be_repeated(fresh_server: Server) -> None:
    """What had reached the process, but no handler yet, gRPC's core ends with CANCELLED."""
    acknowledged: list[str] = []
    codes: Counter[grpc.StatusCode] = Counter()

    def write(name: str) -> None:
        with connected(fresh_server.target) as api:
            for number in range(100_000):
                message_id = f"{name}-{number}"
                request = v1.TrackRequest(message_id=message_id, user_id=name, event="e")
                try:
                    api.send(request)
                except grpc.RpcError as error:
                    codes[error.code()] += 1
                    return
                acknowledged.append(message_id)

    threads = [threading.Thread(target=write, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 300:
        time.sleep(0.01)
    exit_code = fresh_server.stop()
    for thread in threads:
        thread.join()

    kept = {message.message_id for message in left_behind(fresh_server.data)[0]}
    assert exit_code == 0
    assert codes.total() == 6
    assert set(codes) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert set(acknowledged) <= kept
    assert len(kept) <= len(acknowledged) + 6


def test_a_call_that_outlives_the_drain_is_cut_and_the_exit_is_clean() -> None:
    with running(DRAIN_SECONDS="0.3") as server, connected(server.target) as api:
        stop = threading.Event()

        def requests():
            yield batch("kept")
            stop.wait(20)

        answers = api.identity.IngestStream(requests(), timeout=20)
        next(answers)

        began = time.monotonic()
        exit_code = server.stop()
        took = time.monotonic() - began

        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        stop.set()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert exit_code == 0
        assert 0.25 < took < 10
        assert [m.message_id for m in left_behind(server.data)[0]] == ["kept"]


def serve(data: Path, port: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "sameas_service", "serve",
        "--data", str(data), "--port", port, *options,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_a_second_server_on_the_same_data_directory_is_refused(server: Server, api: Api) -> None:
    second = serve(server.data, "0")

    assert second.returncode == 1
    assert "in use by another sameas process" in second.stderr
    assert str(server.process.pid) in second.stderr
    assert str(server.data) in " ".join(second.stderr.split())
    assert "Traceback" not in second.stderr
    assert api.send(v1.TrackRequest(user_id="still", event="e")).outcome


def test_a_second_server_on_the_same_port_is_refused(
    server: Server, api: Api, tmp_path: Path
) -> None:
    host, _, port = server.target.rpartition(":")

    second = serve(tmp_path / "other", port)

    assert second.returncode == 1
    assert f"cannot listen on {host}:{port}" in second.stderr
    assert "Traceback" not in second.stderr
    assert api.send(v1.TrackRequest(user_id="still", event="e")).outcome


def test_an_address_of_no_machine_here_is_refused_in_the_systems_words(tmp_path: Path) -> None:
    done = serve(tmp_path, "0", "--host", "192.0.2.1")

    assert done.returncode == 1
    assert "cannot listen on 192.0.2.1:0; Cannot assign requested address" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_is_free_again_once_its_server_is_killed(fresh_server: Server) -> None:
    fresh_server.kill()

    fresh_server.start()

    with connected(fresh_server.target) as api:
        assert api.send(v1.TrackRequest(user_id="u", event="e")).outcome


def test_the_data_is_readable_by_its_owner_alone(server: Server, api: Api) -> None:
    api.send(v1.TrackRequest(user_id="private", event="e"))

    assert server.data.stat().st_mode & 0o077 == 0
    modes = {path.name: path.stat().st_mode & 0o077 for path in server.data.glob("sameas.db*")}
    assert modes == dict.fromkeys(modes, 0)
    assert "sameas.db" in modes


def ask(api: Api, **question) -> reflection_pb2.ServerReflectionResponse:
    reflection = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    request = reflection_pb2.ServerReflectionRequest(**question)
    return next(reflection.ServerReflectionInfo(iter([request]), timeout=10))


def test_reflection_lists_the_services_and_describes_their_methods(api: Api) -> None:
    listed = ask(api, list_services="").list_services_response.service

    names = {service.name for service in listed}
    assert {*SERVICES, "grpc.health.v1.Health"} <= names
    for name, service in SERVICES.items():
        described = ask(api, file_containing_symbol=name).file_descriptor_response
        methods = set()
        for data in described.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            methods |= {method.name for one in file.service for method in one.method}
        assert methods == {method.name for method in service.methods}


@pytest.mark.parametrize("name", [name for name, _ in OPTIONS])
def test_grpc_knows_each_option_of_the_server(name: str) -> None:
    (library,) = Path(grpc._cython.__file__).parent.glob("cygrpc*.so")

    assert name.encode() + b"\0" in library.read_bytes()


def test_a_setting_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sameas_service", "serve", "--data", str(tmp_path / "d")]
    environment = os.environ | {"SAMEAS_DRAIN_SECONDS": "soon"}

    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=False, env=environment
    )

    assert ended.returncode != 0
    assert "SAMEAS_DRAIN_SECONDS" in ended.stderr
