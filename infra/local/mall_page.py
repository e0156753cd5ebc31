"""What a person sees of the demo mall: its orders with buttons, what can be bought, what can be made to fail."""

import html
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
FAULTS = {
    "slow": "answers webhooks later than Liebian waits",
    "lost": "works webhooks off, and loses the reply",
    "down": "refuses webhooks and sends nothing",
    "lost_replies": "does not hear Liebian's replies, and calls again",
    "duplicates": "sends everything twice",
    "disorder": "gathers so many events and sends the last first",
}
BUTTONS: dict[str, tuple[tuple[str, str], ...]] = {
    "unpaid": (("pay", "Pay"), ("cancel", "Cancel")),
    "paid": (("ship", "Ship"), ("refund", "Refund")),
    "shipped": (("complete", "Received"), ("refund", "Refund")),
    "completed": (("refund", "Refund"),),
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the page shows."""

    orders: Sequence[Json]
    campaigns: Sequence[Json]
    faults: Mapping[str, int]
    log: Sequence[Json]
    waiting: int
    said: str
    liebian_url: str


def render(shown: Shown) -> str:
    """The shop's page."""
    said = f'<p class="said" role="status">{_text(shown.said)}</p>' if shown.said else ""
    waiting = f"{shown.waiting} messages are waiting to be sent." if shown.waiting else "Everything is sent."
    body = f"""
<header><h1>Demo mall</h1><p>takes the money and ships; Liebian at <code>{_text(shown.liebian_url)}</code>
keeps groups, seats and prices. Nothing here is real.</p></header>{said}
<section><h2>Orders</h2><div id="orders">{_orders(shown.orders)}</div>
<form method="post" action="/reconciliations"><button class="quiet">Compare the books with Liebian</button></form>
</section>
<section><h2>Sell</h2><div class="two">{_mall_first(shown.campaigns)}{_PHONE_FIRST}</div></section>
<section class="two"><div><h2>What went over the wire</h2><p class="soft" id="waiting">{waiting}</p>
<div id="log">{_log(shown.log)}</div></div>
<div><h2>What goes wrong</h2>{_faults(shown.faults)}</div></section>{_LIVE}"""
    return _page("Demo mall", body)


def render_payment(order: Json, *, said: str = "") -> str:
    """The page that pays an order, as a phone would show it."""
    number = _text(order["number"])
    note = f'<p class="said" role="status">{_text(said)}</p>' if said else ""
    if order["state"] == "unpaid":
        do = (
            f'<form method="post" action="/orders/{number}/pay"><input type="hidden" name="back" value="pay">'
        )
        do += '<button class="wide">Pay now</button></form>'
        until = time.strftime("%H:%M:%S", time.localtime(order["held_until"]))
        do += f'<p class="soft">The seat is kept until {until}; who pays later may find another.</p>'
    else:
        do = f"<p>{_chip(order['state'])}</p>"
    body = f"""<section class="pay">{note}<p class="soft">Demo mall · order {number}</p>
<h1>{_text(order["title"])}</h1><p class="price">{_yuan(order["amount_fen"])}</p>{do}
<p><a href="/">All orders</a></p></section>"""
    return _page(f"Pay {number}", body)


def _orders(orders: Sequence[Json]) -> str:
    if not orders:
        return '<p class="empty">No orders yet. Sell something below, or run <code>make demo</code>.</p>'
    heads = "".join(
        f"<th>{head}</th>" for head in ("Order", "Buyer", "What", "Paid", "Order is", "Group is", "")
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(map(_order, orders))}</tbody></table>"


def _order(order: Json) -> str:
    back = (
        f'<br><span class="soft">{_yuan(order["refunded_fen"])} back</span>' if order["refunded_fen"] else ""
    )
    paid = f'<span class="money">{_yuan(order["paid_fen"])} of {_yuan(order["amount_fen"])}</span>{back}'
    note = f'<br><span class="soft">{_text(order["note"])}</span>' if order["note"] else ""
    cells = (
        f"<code>{_text(order['number'])}</code><br><span class='soft'>{order['play']}</span>",
        f'<span class="buyer">{_text(order["buyer"])}</span>',
        f"{_text(order['title'])}{note}",
        paid,
        _chip(order["state"]),
        f'{_chip(order["group"])}<br><code class="soft">{_text(order["group_id"][-6:])}</code>'
        if order["group"]
        else "",
        "".join(_button(order, action, label) for action, label in BUTTONS.get(order["state"], ())),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _button(order: Json, action: str, label: str) -> str:
    off = action == "ship" and order["group"] != "filled"
    why = ' disabled title="The mall ships only when the group is filled"' if off else ""
    kind = "" if action in ("pay", "ship", "complete") else ' class="quiet"'
    where = f"/orders/{_text(order['number'])}/{action}"
    return f'<form method="post" action="{where}"><button{kind}{why}>{label}</button></form>'


def _mall_first(campaigns: Sequence[Json]) -> str:
    if not campaigns:
        return """<div class="card"><h3>Mall first</h3><p class="soft">Liebian offers nothing now.
An operator makes a campaign with <code>POST /v1/admin/groupbuys</code>; <code>make demo</code> makes some
too.</p></div>"""
    return f"""<form class="card" method="post" action="/checkouts"><h3>Mall first</h3>
<p class="soft">The mall makes its order, then asks for a seat.</p>
<label>Campaign <select name="campaign_id">{_options(campaigns, _campaign)}</select></label>
<label>Group <select name="group_id"><option value="">a new one</option>{_groups(campaigns)}</select>
</label>
<label>Buyer <input name="buyer" required maxlength="64" pattern="[A-Za-z0-9_\\-]+" placeholder="customer-7">
</label>
<button>Check out</button></form>"""


_PHONE_FIRST = """<form class="card" method="post" action="/checkouts"><h3>Phone first</h3>
<p class="soft">The mini-program opened or joined a group; the mall charges what Liebian's server says.</p>
<label>Order of Liebian's <input name="order_id" required maxlength="64" placeholder="ord_…"></label>
<button>Check out</button></form>"""


def _options(found: Sequence[Json], option: Callable[[Json], tuple[str, str]]) -> str:
    pairs = [option(one) for one in found]
    return "".join(f'<option value="{_text(value)}">{_text(label)}</option>' for value, label in pairs)


def _campaign(one: Json) -> tuple[str, str]:
    prices = [price for sku in one["skus"] for price in sku["prices"]]
    cheapest = min(prices, key=lambda price: price["price_fen"])
    return one["campaign_id"], f"{one['title']}: {cheapest['size']} for {_yuan(cheapest['price_fen'])} each"


def _groups(campaigns: Sequence[Json]) -> str:
    found = [(one, group) for one in campaigns for group in one["groups"]]
    return "".join(
        f'<option value="{_text(group["group_id"])}">{_text(group["head"]["nickname"] or "somebody")}’s, '
        f"{group['missing']} missing ({_text(one['title'])})</option>"
        for one, group in found
    )


def _faults(faults: Mapping[str, int]) -> str:
    fields = "".join(
        f'<label class="fault"><input type="number" min="-1" name="{name}" value="{faults[name]}">'
        f"<span>{name}: {what}</span></label>"
        for name, what in FAULTS.items()
    )
    hint = '<p class="soft">So many times; -1 until it is set to 0.</p>'
    return f'<form class="card" method="post" action="/faults">{hint}{fields}<button>Set</button></form>'


def _log(log: Sequence[Json]) -> str:
    if not log:
        return '<p class="empty">Nothing yet.</p>'
    lines = "".join(
        f"<li><time>{time.strftime('%H:%M:%S', time.localtime(line['at']))}</time>"
        f"<span class='{line['way']}'>{'→ Liebian' if line['way'] == 'out' else '← Liebian'}</span>"
        f"<span>{_text(line['what'])} <b>{_text(line['about'])}</b> · {_text(line['said'])}</span></li>"
        for line in log[:40]
    )
    return f"<ol>{lines}</ol>"


def _chip(state: str) -> str:
    return f'<span class="chip {_text(state)}">{_text(state)}</span>'


def _yuan(fen: int) -> str:
    return f"¥{fen // 100:,}.{fen % 100:02d}"


def _text(value: object) -> str:
    return html.escape(str(value))


def _page(title: str, body: str) -> str:
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>
<body><main>{body}</main></body></html>"""


# Orders and messages follow what happens; what a person is typing stays.
_LIVE = """<script>
setInterval(async () => {
  if (document.hidden || document.activeElement?.closest("#orders")) return;
  const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
  for (const id of ["orders", "log", "waiting"])
    document.getElementById(id).replaceWith(page.getElementById(id));
}, 2000);
</script>"""

_STYLE = """
:root{color-scheme:light dark;--ground:#f5f4f1;--card:#fff;--ink:#1b1b1a;--soft:#63615c;--line:#e2e0da;
--go:#06743b;--on-go:#fff;--price:#c2152c;--good:#e1f3e8;--good-ink:#06613a;--warm:#fdf0d9;--warm-ink:#7a4b00;
--bad:#fbe6e8;--bad-ink:#9c1226}
@media(prefers-color-scheme:dark){:root{--ground:#121212;--card:#1d1d1e;--ink:#f2f1ee;--soft:#a9a7a1;
--line:#37373a;--go:#35cf80;--on-go:#04170c;--price:#ff858d;--good:#123322;--good-ink:#7fe0ae;--warm:#3a2c10;
--warm-ink:#f0c36d;--bad:#3d1d21;--bad-ink:#ff9aa3}}
*{box-sizing:border-box;margin:0}
body{background:var(--ground);color:var(--ink);padding:24px 16px 48px;
font:15px/1.5 -apple-system,"Segoe UI","PingFang SC","Noto Sans CJK SC","Noto Sans",sans-serif}
main{max-width:1080px;margin:0 auto}
header p,.soft{color:var(--soft)}
h1{font-size:26px;line-height:1.3}h2{font-size:18px;margin:0 0 10px}h3{font-size:16px}
section{margin-top:32px}
code{font:13px ui-monospace,Menlo,Consolas,monospace}
.said{margin-top:16px;padding:10px 14px;border-radius:10px;background:var(--warm);color:var(--warm-ink)}
.empty{padding:20px;border:1px dashed var(--line);border-radius:12px;color:var(--soft)}
table{width:100%;border-collapse:collapse;background:var(--card);border-radius:12px;overflow:hidden}
th,td{padding:10px 12px;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--soft);font-size:13px;font-weight:500;white-space:nowrap}
td .soft{font-size:13px}td form{display:inline-block;margin:0 6px 4px 0}td button{padding:4px 11px;font-size:14px}
td:last-child,.money{white-space:nowrap;font-variant-numeric:tabular-nums}
.buyer{display:block;max-width:170px;overflow:hidden;text-overflow:ellipsis}
.chip{display:inline-block;padding:1px 9px;border-radius:99px;font-size:13px;background:var(--line);
white-space:nowrap}
.chip.paid,.chip.filled,.chip.shipped,.chip.completed{background:var(--good);color:var(--good-ink)}
.chip.unpaid,.chip.open,.chip.opening{background:var(--warm);color:var(--warm-ink)}
.chip.refunded,.chip.expired,.chip.cancelled{background:var(--bad);color:var(--bad-ink)}
button{padding:7px 14px;border:0;border-radius:8px;background:var(--go);color:var(--on-go);
font:inherit;font-weight:600;cursor:pointer}
button.quiet{background:transparent;color:var(--ink);box-shadow:inset 0 0 0 1px var(--line)}
button:disabled{opacity:.4;cursor:not-allowed}
button:focus-visible,input:focus-visible,select:focus-visible{outline:2px solid var(--ink);outline-offset:2px}
section>form{margin-top:12px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:24px;align-items:start}
.card{display:grid;gap:12px;padding:18px;border-radius:12px;background:var(--card)}
.card button{justify-self:start}
label{display:grid;gap:4px;font-size:14px;color:var(--soft)}
input,select{width:100%;padding:8px 10px;border:1px solid var(--line);border-radius:8px;background:var(--ground);
color:var(--ink);font:inherit}
.fault{grid-template-columns:76px 1fr;align-items:center;gap:10px}
ol{list-style:none;padding:0;max-height:420px;overflow:auto;font-size:13px;background:var(--card);border-radius:12px}
li{display:flex;gap:10px;padding:6px 12px;border-top:1px solid var(--line);overflow-wrap:anywhere}
li:first-child{border-top:0}time{flex:none;color:var(--soft);font-variant-numeric:tabular-nums}
.in,.out{flex:none;width:72px;color:var(--good-ink)}.in{color:var(--warm-ink)}li b{font-weight:500}
.pay{max-width:400px;margin:8vh auto;padding:28px;border-radius:16px;background:var(--card);
display:grid;gap:12px;text-align:center}
.price{color:var(--price);font-size:34px;font-weight:700;font-variant-numeric:tabular-nums}
.wide{width:100%;padding:12px}a{color:inherit}
@media(max-width:720px){thead{display:none}tr{display:block;padding:8px 0;border-top:1px solid var(--line)}
td{display:block;border:0;padding:3px 12px}td:nth-child(n+5):nth-child(-n+6){display:inline-block;padding-right:0}}
"""
