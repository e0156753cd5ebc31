"""What the model of the cost reckons, held against sums by hand."""

import pytest

from bench.cost import __main__ as cli
from bench.cost import deployed, monthly, operations, prices, server, telling
from bench.cost.monthly import MILLION, Assumed
from bench.cost.operations import Operation, Sizes, Table, Work
from bench.cost.prices import Price, Region

US = prices.region("us-east-1")
ONE = Operation(
    requests=1,
    at_once=Work(calls=2, reads=1.5, rows=4, entries=1),
    after=Work(calls=3, reads=2, rows=6, entries=0, runs=1),
    sizes=Sizes(logged=500, answered=1000, rows=700, entries=100, temporary=50),
)
SAME = dict.fromkeys({name for parts in monthly.DONE_BY.values() for name in parts}, ONE)
TABLE = Table(idle=Work(calls=300, reads=150.0, runs=60), operations=SAME)


def test_a_price_in_tiers_is_added_up_tier_by_tier() -> None:
    requests = US.prices["api_requests"]

    assert requests.of(400 * MILLION) == pytest.approx(333 * 3.50 + 67 * 2.80)
    assert requests.of(2e9) == pytest.approx(333 * 3.50 + 667 * 2.80 + 1000 * 2.38)


def test_what_is_free_for_good_is_taken_off_and_no_more() -> None:
    alarms = US.prices["alarms"]

    assert alarms.of(32) == pytest.approx(3.2)
    assert alarms.of(32, allowance=True) == pytest.approx(2.2)
    assert alarms.of(7, allowance=True) == 0


@pytest.mark.parametrize("name", prices.regions())
def test_every_price_says_where_it_is_from(name: str) -> None:
    region = prices.region(name)

    for thing, price in region.prices.items():
        assert price.source.url.startswith("https://"), thing
        assert price.source.page and price.source.seen and price.source.read >= "2026-01-01", thing


def test_every_thing_that_a_shop_or_a_server_asks_for_has_a_price_in_one_region() -> None:
    asked = monthly.month(monthly.use_of(1000), TABLE, Assumed())

    assert US.missing(line.thing for line in monthly.bill(asked, US, Assumed(), allowance=False)) == []
    assert US.missing(server.asked(asked)) == []


def test_a_million_of_an_operation_costs_what_its_parts_do() -> None:
    assumed = Assumed(call_ms=10, run_ms=20)
    asked = {thing: MILLION * n for thing, n in monthly.of_operation(ONE, assumed).items()}

    lines = {line.thing: line.amount for line in monthly.bill(asked, US, assumed, allowance=False)}

    assert lines == {
        "api_requests": pytest.approx(3.50),
        "invocations": pytest.approx(2 * 0.20),
        # The API's function: 2 calls and its own; the reader: 3 and its own, with half the memory.
        "gb_seconds_x86_64": pytest.approx(MILLION * (0.040 * 1.0 + 0.050 * 0.5) * 0.0000166667),
        "write_units": pytest.approx(11 * 0.625),
        "read_units": pytest.approx(3.5 * 0.125),
        "log_gb": pytest.approx((500 + 2 * monthly.PLATFORM_BYTES) / 1000 * 0.50),
        "data_out_gb": pytest.approx(0.09),
    }


def test_a_month_is_its_days_and_what_is_there_when_nobody_calls() -> None:
    none, some = (monthly.month(monthly.use_of(0, visits=visits), TABLE, Assumed()) for visits in (0, 10))

    assert none["invocations"] == pytest.approx(60 * 6 * 24 * 365 / 12)
    assert some["api_requests"] == pytest.approx(10 * 365 / 12)
    assert some["write_units"] - none["write_units"] == pytest.approx(110 * 365 / 12)
    # A year's rows, and those that stay a shorter time by their part of it.
    assert some["backup_gb"] == pytest.approx(10 * 365 * 700 / 1e9)
    assert some["stored_gb"] == pytest.approx(10 * 365 * 850 / 1e9)


def test_half_of_what_people_do_costs_half_beyond_what_is_always_there() -> None:
    def cost(members: float) -> float:
        asked = monthly.month(monthly.use_of(members, refusals=0), TABLE, Assumed())
        return monthly.total(monthly.bill(asked, US, Assumed(), allowance=False))

    assert cost(1000) - cost(0) == pytest.approx(2 * (cost(500) - cost(0)))


def test_a_server_costs_the_same_whoever_calls_but_for_logs_and_data() -> None:
    hours = 730

    bill = server.bill({"log_gb": 4, "data_out_gb": 10}, US, allowance=False)

    machines = 2 * hours * 0.0168 + 16 * 0.08 + hours * (0.0225 + 0.008) + 4 * hours * 0.005
    database, cache = hours * 0.065 + 20 * 0.23, 2 * hours * 0.016
    assert monthly.total(bill) == pytest.approx(machines + database + cache + 4 * 0.50 + 10 * 0.09)


def test_the_members_at_whom_both_cost_the_same_are_found() -> None:
    told = telling.Told(table=TABLE, region=US, assumed=Assumed(), log_line="")

    asked = monthly.month(monthly.use_of(telling.as_dear(told)), TABLE, Assumed())

    here = monthly.total(monthly.bill(asked, US, Assumed(), allowance=False))
    assert here == pytest.approx(monthly.total(server.bill(asked, US, allowance=False)))


def test_what_has_no_price_is_told_with_how_much_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--members", "10", "--region", "cn-northwest-1"])
    missing = capsys.readouterr().out
    given = ["alarms", "dashboards", "metrics", "read_units", "write_units"]
    given += ["stored_gb", "backup_gb", "log_stored_gb"]
    cli.main(["--region", "cn-northwest-1", *(f"--price={thing}=1" for thing in given)])
    whole = capsys.readouterr().out

    assert "No price is known of 1 alarms, 1 backup_gb," in missing and "1,000,000 write_units" in missing
    assert "?" in missing
    assert "No price" not in whole and "¥28.94" not in missing


def test_a_price_of_nothing_is_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--price", "moons=3"])

    assert "moons is none of" in capsys.readouterr().err


def test_what_is_said_of_a_day_is_taken_and_the_rest_is_as_usual() -> None:
    use = monthly.use_of(2000, visits=7.0, claims=None)

    assert (use["visits"], use["claims"]) == (7.0, 2 * monthly.A_THOUSAND_DO["claims"])


def test_an_operation_that_asks_for_more_than_the_table_has_is_told() -> None:
    more = Operation(requests=1, at_once=Work(calls=3), after=ONE.after, sizes=ONE.sizes)

    found = operations.differences({"a visit": ONE}, {"a visit": more})

    assert len(found) == 1 and found[0].startswith("a visit, at_once: the table has Work(calls=2")
    assert operations.differences({"a visit": ONE}, {"a visit": ONE}) == []


def test_the_table_has_all_that_people_do() -> None:
    table = operations.read()

    assert {name for parts in monthly.DONE_BY.values() for name in parts} <= set(table.operations)
    assert set(monthly.DONE_BY) == set(monthly.A_THOUSAND_DO)


def test_the_jobs_are_as_many_as_the_alarms_reckon_with() -> None:
    more, fewer = deployed.alarms(jobs=7), deployed.alarms(jobs=6)

    assert more - fewer == 2  # that it crashes, and that it does not run


def test_the_line_of_a_log_is_told_part_by_part() -> None:
    cut = '"location":"here",'
    line = f'{{"message":"answered",{cut}"status":200}}\n'

    told = telling.log_table(line, US)

    assert f"the app: all else | {len(line) - len(cut)} |" in told
    assert f"| all | {monthly.PLATFORM_BYTES + len(line)} |" in told


def test_money_has_the_digits_that_it_deserves() -> None:
    assert [telling.money(one) for one in (0, 0.03125, 5.128, 2149.4, None)] == [
        "$0.00",
        "$0.0312",
        "$5.13",
        "$2,149",
        "?",
    ]


def test_a_region_of_ones_own_prices_is_reckoned_with() -> None:
    source = prices.Source(page="", url="", seen="", read="")
    one = Price(words="", per=1, tiers=[(0, 2.0)], source=source)
    region = Region(name="here", currency="USD", prices={"api_requests": one})

    (line,) = monthly.bill({"api_requests": 3}, region, Assumed(), allowance=False)

    assert line.amount == 6.0
