"""What more memory brings a request, and costs.

Reckoned: Lambda gives a function 1/1769 of a processor for each MB ("Configure Lambda function memory" in its
developer guide), and bills milliseconds by the memory.
"""

from collections.abc import Mapping

from bench.cost import deployed, prices
from bench.cost.deployed import ONE_PROCESSOR_MB
from bench.cost.monthly import MILLION, Assumed
from bench.requests import cpu
from bench.requests.hot import Hot
from bench.requests.paired import Cost
from bench.requests.shop import Made
from tests.proof import line

MEMORIES_MB = (256, 512, 1024, ONE_PROCESSOR_MB, 3008)
SHOWN = ("a visit of a link", "a check-in with points", "a coupon is claimed", "joining a group")
_HEAD = """
By memory: milliseconds of a request, of which a call of DynamoDB is taken to wait {call_ms:g}, and the dollars that
Lambda's milliseconds of a million cost in {region}. A processor of Lambda is taken to be like this one. Below
{one} MB a function waits for its share of a processor and pays as much for it, so that memory brings speed for
little; above, it brings requests nothing. `.chalice/config.json` gives the API 1024 MB.

"""


def told(found: Mapping[Hot, Mapping[str, Cost]], made: Mapping[Hot, Made]) -> str:
    """A table of a few operations."""
    there = prices.region("us-east-1")
    head = _HEAD.format(call_ms=Assumed.call_ms, region=there.name, one=ONE_PROCESSOR_MB)
    names = line("operation", *(f"{mb} MB" for mb in MEMORIES_MB)) + line(*["---"] * (len(MEMORIES_MB) + 1))
    shown = [hot for hot in found if hot.name in SHOWN]
    price = there.prices[f"gb_seconds_{Assumed.architecture}"]
    return head + names + "".join(line(hot.name, *_cells(found[hot], made[hot], price)) for hot in shown)


def _cells(costs: Mapping[str, Cost], made: Made, price: prices.Price) -> list[str]:
    cells = []
    for mb in MEMORIES_MB:
        took_ms = milliseconds(costs[cpu.APP].us / 1000, calls=len(made.asked), memory_mb=mb)
        dollars = price.of(took_ms / 1000 * mb / 1024 * MILLION)
        cells.append(f"{took_ms:.0f} ms, ${dollars:.2f}")
    return cells


def milliseconds(cpu_ms: float, *, calls: int, memory_mb: int) -> float:
    """Of a request that takes so much of a whole processor and waits for so many calls of DynamoDB."""
    return cpu_ms / deployed.share_of_a_processor(memory_mb) + calls * Assumed.call_ms
