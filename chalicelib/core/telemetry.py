"""Logs and metrics through powertools; the logger is Chalice's own, so that every line has one shape.

Never logged: bodies, tokens, secrets, and what identifies a person other than the member id.
"""

import logging
import os
import warnings

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

SERVICE = "liebian"

# At DEBUG these two would log addresses and headers, and with them secrets.
for library in ("urllib3", "botocore"):
    logging.getLogger(library).setLevel(logging.INFO)

# Most invocations have nothing to count, and powertools would say so in the log each time.
warnings.filterwarnings("ignore", message="No application metrics to publish")

logger = Logger(service=SERVICE)
metrics = Metrics(service=SERVICE, namespace="Liebian")
# Stages may share an account; the settings are not read yet when this is imported.
metrics.set_default_dimensions(stage=os.environ.get("STAGE", "none"))


def count(name: str, value: int = 1) -> None:
    """Add to a counter metric of this invocation, such as ``StuckRows``."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
