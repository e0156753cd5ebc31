"""How the local stack and the tests reach a local store: its two clients, and the credentials they pretend to have.

The app itself does not use this: it has its one client in `chalicelib.core.table`.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import botocore.session
from botocore.config import Config

REGION = "us-east-1"


def pretend_credentials() -> None:
    """Set what botocore insists on and no local store looks at; what is set already stays."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "local")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "local")
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)


def connect(service: str, *, endpoint: str = "") -> Any:
    """A botocore client of ``service`` at ``endpoint``; none means the embedded store, which must be started."""
    return botocore.session.Session().create_client(
        service,
        region_name=os.environ.get("AWS_DEFAULT_REGION", REGION),
        endpoint_url=endpoint or None,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(
            max_pool_connections=128,
            # botocore would put the account into the host name of the Streams API, which moto does not serve.
            account_id_endpoint_mode="disabled",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Store:
    """A running store with both tables in it."""

    endpoint: str = ""
    truth: str = "truth"
    traffic: str = "traffic"

    @cached_property
    def client(self) -> Any:
        """For the tables."""
        return connect("dynamodb", endpoint=self.endpoint)

    @cached_property
    def streams(self) -> Any:
        """For the truth table's stream."""
        return connect("dynamodbstreams", endpoint=self.endpoint)
