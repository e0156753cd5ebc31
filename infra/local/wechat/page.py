"""What a person sees of the simulated WeChat: what phones would show, codes and checks, money; and what goes wrong.

``GET /`` is the page, ``GET /_simulator/state`` what it shows, ``POST /_simulator/faults`` {path, fault} switches a
fault on for what begins with a path, or, without one, off.
"""

import html
import json
from collections.abc import Mapping
from typing import Any, get_args

from infra.local.wechat.frame import Answer, Fault, Platform, Request, endpoint, said

MONEY = ("an order", "a refund", "a transfer")
PHONES = ("message", "card", "activity", "subscribed", "goods")
PATHS = {
    "/": "everything",
    "/sns/jscode2session": "signing in",
    "/cgi-bin/stable_token": "tokens",
    "/wxa/": "codes, links, checks",
    "/cgi-bin/message/": "messages",
    "/v3/pay/": "orders of WeChat Pay",
    "/v3/refund/": "refunds",
    "/v3/fund-app/": "transfers",
    "/notices/": "what WeChat Pay tells",
    "/pushes": "what WeChat pushes",
}


@endpoint("GET", "/")
def page(platform: Platform, request: Request) -> Answer:
    """The page."""
    return Answer(body=_page().encode(), content_type="text/html; charset=utf-8")


@endpoint("GET", "/_simulator/state")
def state(platform: Platform, request: Request) -> Answer:
    """Everything that happened, the newest first, by where it is shown; and the faults that are on."""
    with platform.lock:
        happened, faults = list(reversed(platform.happened)), dict(platform.faults)
    lanes: dict[str, list[Mapping[str, Any]]] = {"phones": [], "codes": [], "money": []}
    for one in happened:
        lanes[_lane(str(one["what"]))].append(one)
    return said({"lanes": lanes, "faults": faults}, content_type="application/json")


@endpoint("POST", "/_simulator/faults")
def switch(platform: Platform, request: Request) -> Answer:
    """Switch a fault on or off."""
    path, fault = str(request.json.get("path", "/")), request.json.get("fault")
    if fault is not None and fault not in get_args(Fault):
        return said({"known": list(get_args(Fault))}, status=400, content_type="application/json")
    with platform.lock:
        platform.faults.pop(path, None)
        if fault is not None:
            platform.faults[path] = fault
    return said({"faults": platform.faults}, content_type="application/json")


def _lane(what: str) -> str:
    if what.startswith(MONEY):
        return "money"
    return "phones" if what.startswith(PHONES) else "codes"


def _page() -> str:
    choices = "".join(f"<option>{name}</option>" for name in ("off", *get_args(Fault)))
    faults = "".join(
        f'<label>{html.escape(words)}<select data-path="{html.escape(path)}">{choices}</select></label>'
        for path, words in PATHS.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Simulated WeChat</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f"<header><h1>Simulated WeChat</h1><p>What phones would show, and what WeChat would keep. Nothing here is "
        f"real, and it is forgotten when the stack stops.</p></header>"
        f'<div class="lanes"><section><h2>On phones</h2><ol id="phones"></ol></section>'
        f'<section><h2>Codes, links, checks</h2><ol id="codes"></ol></section>'
        f'<section><h2>Money</h2><ol id="money"></ol></section></div>'
        f'<section><h2>What goes wrong</h2><div class="faults">{faults}</div></section>'
        f"</main><script>const LANES={json.dumps(['phones', 'codes', 'money'])};{_SCRIPT}</script></body></html>"
    )


_SCRIPT = """
const money=new Set(['fen','total','amount']);
function shown(one){
  const li=document.createElement('li'),head=document.createElement('p'),time=document.createElement('time');
  time.textContent=new Date(one.at*1000).toLocaleTimeString();head.append(time,one.what);li.append(head);
  for(const [name,value] of Object.entries(one)){
    if(['at','what'].includes(name)||value===null||value==='')continue;
    const row=document.createElement('div'),key=document.createElement('span');
    key.textContent=name;row.append(key);
    if(typeof value==='string'&&value.startsWith('data:image/')){
      const img=document.createElement('img');img.src=value;img.alt=name;row.append(img);
    }else row.append(money.has(name)&&typeof value==='number'?'¥'+(value/100).toFixed(2):
      typeof value==='object'?JSON.stringify(value):String(value));
    li.append(row);
  }
  if(one.what==='a transfer was asked for')for(const act of ['confirm','refuse']){
    const button=document.createElement('button');button.textContent=act;
    button.onclick=async()=>{await fetch('/_simulator/transfers/'+one.number+'/'+act,{method:'POST'});look();};
    li.append(button);
  }
  return li;
}
let last='';
async function look(){
  const told=await (await fetch('/_simulator/state')).json(),text=JSON.stringify(told);
  if(text===last)return;last=text;
  for(const lane of LANES){
    const list=document.getElementById(lane);list.replaceChildren(...told.lanes[lane].map(shown));
    if(!told.lanes[lane].length){const li=document.createElement('li');li.className='empty';
      li.textContent='Nothing yet.';list.append(li);}
  }
  for(const select of document.querySelectorAll('select'))select.value=told.faults[select.dataset.path]||'off';
}
for(const select of document.querySelectorAll('select'))select.onchange=()=>fetch('/_simulator/faults',{
  method:'POST',body:JSON.stringify({path:select.dataset.path,fault:select.value==='off'?null:select.value})});
look();setInterval(look,1500);
"""

_STYLE = """
:root{color-scheme:light dark;--ground:#ededed;--card:#fff;--ink:#191919;--soft:#66686b;--line:#dedede;--go:#067d45}
@media(prefers-color-scheme:dark){:root{--ground:#111;--card:#1e1e1f;--ink:#ececec;--soft:#9a9da1;--line:#343436;
--go:#2fc87a}}
*{box-sizing:border-box;margin:0}
body{background:var(--ground);color:var(--ink);padding:24px 16px 48px;
font:15px/1.5 -apple-system,"Segoe UI","PingFang SC","Noto Sans CJK SC","Noto Sans",sans-serif}
main{max-width:1180px;margin:0 auto}header p{color:var(--soft)}h1{font-size:26px}h2{font-size:17px;margin:24px 0
10px}
.lanes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:20px;align-items:start}
ol{list-style:none;padding:0;display:grid;gap:10px;max-height:620px;overflow:auto}
li{background:var(--card);border-radius:10px;padding:12px 14px;overflow-wrap:anywhere} li
p{font-weight:600;margin-bottom:4px}li time{float:right;color:var(--soft);font-weight:400;font-size:13px} li
div{font-size:13px}li div span{color:var(--soft);margin-right:8px}li img{display:block;width:120px;margin-top:6px}
.empty{color:var(--soft);background:transparent;border:1px dashed var(--line)} button{margin:8px 8px 0
0;padding:5px 14px;border:0;border-radius:8px;background:var(--go);color:#fff;font:inherit; cursor:pointer}
.faults{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px}
label{display:grid;gap:4px;font-size:14px;color:var(--soft)}
select{padding:7px;border:1px solid
var(--line);border-radius:8px;background:var(--card);color:var(--ink);font:inherit}
button:focus-visible,select:focus-visible{outline:2px solid var(--ink);outline-offset:2px}
"""
