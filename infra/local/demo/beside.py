"""Chapter three: a mall that takes the money, and both orders of play."""

from infra.local.demo.telling import Phone, mall_at, named, say, title, wait_for, yuan
from infra.local.demo.together import campaign, close


def play(url: str, mall_url: str, *, night: str) -> None:
    """Beside a mall that takes the money: both orders of play, and a refund that it is asked for."""
    title("3. Beside a mall")
    mall = mall_at(mall_url)
    if mall is None:
        return
    long, brief = campaign(url, night=night), campaign(url, night=night, group_lifetime_s=2)
    _both_plays(url, mall, long, night=night)
    _mall_refunds(mall, brief, night=night)
    close(url, long, brief)
    books = mall.call("POST", "/reconciliations")
    differ = len(books["differences"]) or "no"
    say(f"The mall compares its books with Liebian's: {books['compared']} orders, {differ} differences.")


def _both_plays(url: str, mall: Phone, campaign: str, *, night: str) -> None:
    hana = mall.call("POST", "/checkouts", campaign_id=campaign, buyer=f"hana-{night}")
    number, group_id = hana["number"], hana["group_id"]
    say(f"Mall first: Hana checks out there. The mall makes order {number} and asks for a seat,")
    say(f"which costs {yuan(hana['amount_fen'])}. She pays; the mall says so by a signed event.")
    mall.call("POST", f"/orders/{number}/pay")
    ivan = named(url, "Ivan", night=night)
    wait_for(lambda: ivan.call("GET", f"/v1/groups/{group_id}"), lambda found: bool(found["can_join"]))
    joined = ivan.call("POST", f"/v1/groups/{group_id}/seats")
    say("Phone first: Ivan joins her group in the mini-program. The mall asks Liebian what to charge,")
    theirs = mall.call("POST", "/checkouts", order_id=joined["order"]["order_id"])
    mall.call("POST", f"/orders/{theirs['number']}/pay")
    say(f"and he pays {yuan(theirs['amount_fen'])} there. The mall may not ship before the group is filled …")
    for one in (number, theirs["number"]):
        _ship(mall, one)
    say("… hears by webhook that it is, and ships both.")


def _ship(mall: Phone, number: str) -> None:
    path = f"/orders/{number}"
    wait_for(lambda: mall.call("GET", path), lambda found: bool(found["group"] == "filled"))
    mall.call("POST", f"{path}/ship")


def _mall_refunds(mall: Phone, campaign: str, *, night: str) -> None:
    kim = mall.call("POST", "/checkouts", campaign_id=campaign, buyer=f"kim-{night}")
    path = f"/orders/{kim['number']}"
    mall.call("POST", f"{path}/pay")
    say("Kim opens a group in the mall and pays, and nobody joins …")
    found = wait_for(lambda: mall.call("GET", path), lambda found: bool(found["state"] == "refunded"))
    (refund,) = found["refunds"].values()
    say(f"… so Liebian asks the mall to give {yuan(refund['amount_fen'])} back ({refund['reason']}),")
    wait_for(lambda: mall.call("GET", "/orders"), lambda found: not found["waiting"])
    say(f"under number {refund['refund_id']}, which stays the same however often it asks. It is done.")
