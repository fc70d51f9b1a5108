"""What clients of an endpoint would refuse, against servers on this machine."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dns.message
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.conftest import make_ca
from verify import proof
from verify.checks import network, registry, tls
from verify.checks.network import Way
from verify.proof import Fault
from verify.vantage import Here

CA, CA_KEY = make_ca("cluster-ca")
CA_PEM = CA.public_bytes(Encoding.PEM).decode()
ENDS = (datetime.now(UTC) + timedelta(days=100)).replace(microsecond=0)
A_DAY = timedelta(days=1)

Answer = Callable[[BaseHTTPRequestHandler], tuple[HTTPStatus, dict[str, str], bytes]]


def write_certificate(file: Path, name: str = "localhost", begins: datetime = ENDS - timedelta(days=300)) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "docker-registry")]))
        .issuer_name(CA.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ENDS)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(CA_KEY, hashes.SHA256())
    )
    file.write_bytes(
        certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


@contextmanager
def serving(certificate: Path, answer: Answer) -> Iterator[Way]:
    """A server on this machine with a certificate; the way to it."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Way("localhost", server.server_port, "127.0.0.1", Here({}))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    write_certificate(tmp_path / "tls.pem")
    return tmp_path / "tls.pem"


def nothing(_: BaseHTTPRequestHandler) -> tuple[HTTPStatus, dict[str, str], bytes]:
    return HTTPStatus.NOT_FOUND, {}, b"nothing here"


def check_certificate(way: Way, early_renewal: timedelta = A_DAY) -> str:
    return asyncio.run(tls.certificate(way, CA_PEM, ENDS, early_renewal)).detail


def test_a_good_certificate_is_told_with_its_days(certificate: Path) -> None:
    with serving(certificate, nothing) as way:
        assert check_certificate(way) == "signed by 'cluster-ca', for this name, 99 days left"


def test_a_certificate_that_is_due_for_renewal_is_a_fault(certificate: Path) -> None:
    with serving(certificate, nothing) as way, pytest.raises(Fault, match="ends in 99 days, and was due for renewal"):
        check_certificate(way, timedelta(days=120))


def test_a_certificate_of_the_future_is_a_fault(tmp_path: Path) -> None:
    write_certificate(tmp_path / "tls.pem", begins=datetime.now(UTC) + timedelta(hours=1))
    with serving(tmp_path / "tls.pem", nothing) as way, pytest.raises(Fault, match="not yet"):
        check_certificate(way)


def test_a_server_that_says_nothing_is_a_fault_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "ACT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        way = Way("localhost", silent.getsockname()[1], "127.0.0.1", Here({}))
        with pytest.raises(Fault, match="takes connections, but says nothing"):
            check_certificate(way)


def test_a_port_where_nobody_listens_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        way = Way("localhost", server.getsockname()[1], "127.0.0.1", Here({}))
    with pytest.raises(Fault, match=rf"nobody listens at 127.0.0.1:{way.port}, asked from this machine"):
        asyncio.run(network.connect(way))


def test_a_forced_address_stands_above_the_name_servers() -> None:
    async def no_node() -> None:
        return None

    found = asyncio.run(network.resolve_route("localhost", Here({"localhost": "192.0.2.9"}), no_node))
    assert (found.value.address, found.detail) == ("192.0.2.9", "192.0.2.9, as --resolve says")
    with pytest.raises(Fault, match=r"not on this machine"):
        asyncio.run(network.resolve_route("no-such-host.invalid", Here({}), no_node))


def test_another_server_than_a_registry_is_a_fault(certificate: Path) -> None:
    with serving(certificate, nothing) as way, pytest.raises(Fault, match="is no registry: 404 Not Found"):
        asyncio.run(registry.answers(way, CA_PEM))


def test_the_client_itself_refuses_a_certificate_for_another_name(tmp_path: Path) -> None:
    write_certificate(tmp_path / "tls.pem", name="elsewhere.example.com")
    with serving(tmp_path / "tls.pem", nothing) as way, pytest.raises(Fault, match="certificate is not valid for"):
        asyncio.run(registry.answers(way, CA_PEM))


def test_the_client_trusts_the_given_ca_alone(certificate: Path) -> None:
    other = make_ca("cluster-ca")[0].public_bytes(Encoding.PEM).decode()
    with serving(certificate, nothing) as way, pytest.raises(Fault, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(registry.answers(way, other))


@pytest.mark.parametrize(
    ("status", "detail", "message"),
    [
        (
            HTTPStatus.INTERNAL_SERVER_ERROR,
            {"DriverName": "filesystem", "Enclosed": {"Op": "mkdir", "Path": "/registry/docker", "Err": 30}},
            r"500 Internal Server Error; unknown error \(mkdir /registry/docker: Read-only file system\)",
        ),
        (HTTPStatus.INTERNAL_SERVER_ERROR, {"DriverName": "s3aws"}, r"unknown error \(\{\"DriverName\": \"s3aws\"\}\)"),
        (HTTPStatus.METHOD_NOT_ALLOWED, None, "the registry is read-only: 405 Method Not Allowed; unknown error$"),
    ],
)
def test_a_refused_push_has_the_registrys_reason(
    certificate: Path, status: HTTPStatus, detail: object, message: str
) -> None:
    body = json.dumps({"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": detail}]}).encode()
    with serving(certificate, lambda _: (status, {}, body)) as way, pytest.raises(Fault, match=message):
        asyncio.run(registry.push(way, CA_PEM, registry.make_image()))


def test_an_image_that_comes_back_with_other_bytes_is_a_fault(certificate: Path) -> None:
    image = registry.make_image()

    def answer(request: BaseHTTPRequestHandler) -> tuple[HTTPStatus, dict[str, str], bytes]:
        digest = request.path.rpartition("/")[2]
        return HTTPStatus.OK, {}, image.manifest if digest == image.digest else b"something else"

    with serving(certificate, answer) as way, pytest.raises(Fault, match="comes back with other bytes"):
        asyncio.run(registry.pull(way, CA_PEM, image))


def test_an_image_is_deleted_where_that_is_allowed(certificate: Path) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> tuple[HTTPStatus, dict[str, str], bytes]:
        asked.append((request.command, request.path))
        return HTTPStatus.ACCEPTED, {}, b""

    image = registry.make_image()
    with serving(certificate, answer) as way:
        assert asyncio.run(registry.delete(way, CA_PEM, image)).detail == "done"
    assert asked == [("DELETE", f"/v2/verify/probe/manifests/{image.digest}")]


def test_no_two_runs_push_the_same_image() -> None:
    assert registry.make_image().digest != registry.make_image().digest


def test_a_time_limit_is_told_in_words() -> None:
    assert proof.reason(TimeoutError()) == "no answer within 10 s"


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (["10.0.0.9"], None),
        (
            ["10.0.0.7"],
            r"it\.svc\.cluster\.local is 10\.0\.0\.7 to the cluster's name server 10\.0\.0\.53, not 10\.0\.0\.9",
        ),
        ([], r"it\.svc\.cluster\.local is unknown to the cluster's name server"),
        (None, r"name server 10\.0\.0\.53 does not answer to this machine"),
    ],
)
def test_a_service_must_have_its_address_at_the_name_server_of_pods(
    known: list[str] | None, message: str | None
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        question = dns.message.from_wire(await reader.readexactly(length))
        if known is not None:
            told = dns.message.make_response(question)
            if known:
                told.answer.append(dns.rrset.from_text_list(question.question[0].name, 5, "IN", "A", known))
            wire = told.to_wire()
            writer.write(len(wire).to_bytes(2) + wire)
        writer.close()

    async def ask() -> str:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            vantage = Elsewhere({}, port=server.sockets[0].getsockname()[1])
            way = Way("10.0.0.9", 5000, "10.0.0.9", vantage)
            return (await network.resolve_service("it.svc.cluster.local", way, "10.0.0.53")).detail

    if message is None:
        assert asyncio.run(ask()) == "10.0.0.9, as the cluster's name server 10.0.0.53 says"
    else:
        with pytest.raises(Fault, match=message):
            asyncio.run(ask())


@dataclass(frozen=True)
class Elsewhere(Here):
    """A machine from which every way leads to one port of this one."""

    port: int = 0

    @asynccontextmanager
    async def way(self, address: str, port: int) -> AsyncIterator[tuple[str, int]]:  # noqa: ARG002
        yield "127.0.0.1", self.port
