"""The `connection` property of remote commands and copies."""

from collections.abc import Iterator

from sandbox.plugins.values import Json, Properties, is_secret, secret

_CREDENTIALS = ("password", "privateKey", "privateKeyPassword")
_DEFAULTS = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}
_FIELDS = {*_CREDENTIALS, *_DEFAULTS, "agentSocketPath", "host", "hostKey", "proxy"}


def check(connection: Json) -> Json:
    """Returns a connection with defaults, without fields that nobody knows, its credentials and its proxy's secret."""
    if is_secret(connection):
        return secret(check(connection.get("value")))
    if not isinstance(connection, dict):
        return connection
    given = {name: value for name, value in connection.items() if name in _FIELDS and value is not None}
    hidden = {name: secret(given[name]) for name in _CREDENTIALS if name in given}
    proxy = {"proxy": check(given["proxy"])} if "proxy" in given else {}
    return _DEFAULTS | given | hidden | proxy


def credentials(connection: Properties) -> Iterator[str]:
    """Yields the credentials in a connection (without secret markers), and in its proxy's."""
    yield from (connection[name] for name in _CREDENTIALS if connection.get(name))
    if connection.get("proxy"):
        yield from credentials(connection["proxy"])
