"""The whole application at a glance: its routes, its scheduled jobs, its two readers of the stream.

Event handlers are declared here and not on blueprints: Chalice would deploy those without this module.
"""

import gc
import os
import uuid
from typing import Any

from chalice.app import CloudWatchEvent, DynamoDBEvent, Rate

from chalicelib.checkins import admin as checkins_admin
from chalicelib.checkins import leaving as checkins_leaving
from chalicelib.checkins import merging as checkins_merging
from chalicelib.checkins import reminders as checkin_reminders
from chalicelib.checkins import routes as checkins_routes
from chalicelib.commissions import admin as commissions_admin
from chalicelib.commissions import leaving as commissions_leaving
from chalicelib.commissions import merging as commissions_merging
from chalicelib.commissions import months as commission_months
from chalicelib.commissions import routes as commissions_routes
from chalicelib.commissions import settling
from chalicelib.core import (
    asking,
    clock,
    contract,
    deliveries,
    doors,
    due,
    facts,
    http,
    ledger,
    table,
    telemetry,
)
from chalicelib.coupons import admin as coupons_admin
from chalicelib.coupons import gifts, grants, packs
from chalicelib.coupons import leaving as coupons_leaving
from chalicelib.coupons import mall as coupons_mall
from chalicelib.coupons import merging as coupons_merging
from chalicelib.coupons import routes as coupons_routes
from chalicelib.coupons import service as coupons
from chalicelib.groupbuys import admin as groupbuys_admin
from chalicelib.groupbuys import closing
from chalicelib.groupbuys import holding as group_holds
from chalicelib.groupbuys import leaving as groupbuys_leaving
from chalicelib.groupbuys import mall as groupbuys_mall
from chalicelib.groupbuys import merging as groupbuys_merging
from chalicelib.groupbuys import routes as groupbuys_routes
from chalicelib.members import admin as members_admin
from chalicelib.members import leaving, merging
from chalicelib.members import routes as members_routes
from chalicelib.members import service as members
from chalicelib.notifications import activities, sending, watching
from chalicelib.notifications import admin as notifications_admin
from chalicelib.notifications import leaving as notifications_leaving
from chalicelib.notifications import merging as notifications_merging
from chalicelib.notifications import routes as notifications_routes
from chalicelib.operators import admin as operators_admin
from chalicelib.operators import leaving as operators_leaving
from chalicelib.operators import service as operators
from chalicelib.operators import stuck
from chalicelib.orders import admin as orders_admin
from chalicelib.orders import bills, shipping
from chalicelib.orders import leaving as orders_leaving
from chalicelib.orders import mall as orders_mall
from chalicelib.orders import merging as orders_merging
from chalicelib.orders import routes as orders_routes
from chalicelib.orders import service as orders
from chalicelib.orders import wechat as orders_wechat
from chalicelib.points import admin as points_admin
from chalicelib.points import leaving as points_leaving
from chalicelib.points import levels as points_levels
from chalicelib.points import mall as points_mall
from chalicelib.points import merging as points_merging
from chalicelib.points import routes as points_routes
from chalicelib.reconciling import admin as reconciling_admin
from chalicelib.reconciling import service as reconciling
from chalicelib.rewards import admin as rewards_admin
from chalicelib.rewards import leaving as rewards_leaving
from chalicelib.rewards import merging as rewards_merging
from chalicelib.rewards import routes as rewards_routes
from chalicelib.safety import leaving as safety_leaving
from chalicelib.safety import merging as safety_merging
from chalicelib.safety import pictures
from chalicelib.safety import service as safety
from chalicelib.sessions import leaving as sessions_leaving
from chalicelib.sessions import mall as sessions_mall
from chalicelib.sessions import merging as sessions_merging
from chalicelib.sessions import routes as sessions_routes
from chalicelib.sessions import wechat as sessions_wechat
from chalicelib.sharing import admin as sharing_admin
from chalicelib.sharing import leaving as sharing_leaving
from chalicelib.sharing import merging as sharing_merging
from chalicelib.sharing import routes as sharing_routes
from chalicelib.support import admin as support_admin
from chalicelib.uploads import leaving as uploads_leaving
from chalicelib.uploads import merging as uploads_merging
from chalicelib.uploads import routes as uploads_routes
from chalicelib.withdrawals import admin as withdrawal_admin
from chalicelib.withdrawals import leaving as withdrawals_leaving
from chalicelib.withdrawals import mall as withdrawal_mall
from chalicelib.withdrawals import merging as withdrawals_merging
from chalicelib.withdrawals import routes as withdrawal_routes
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import wechat as withdrawal_wechat

JOB_SECONDS = 45.0
ROOM_JOBS = (
    merging.JOB,
    orders.UNFINISHED_JOB,
    coupons.JOB,
    gifts.JOB,
    packs.JOB,
    grants.JOB,
    ledger.CLOSE_JOB,
    ledger.RELEASE_JOB,
    points_levels.YEAR_JOB,
    points_levels.GIFT_JOB,
    checkin_reminders.JOB,
    settling.JOB,
    commission_months.JOB,
    withdrawals.JOB,
    reconciling.JOB,
    bills.JOB,
    safety.JOB,
    shipping.JOB,
    leaving.JOB,
    withdrawals_leaving.JOB,
    sending.JOB,
    watching.JOB,
    activities.JOB,
)
# What a member has in each room, and how it ends, is declared where it is kept; the order is the order of erasing.
ESTATES = (
    checkins_leaving,
    commissions_leaving,
    coupons_leaving,
    groupbuys_leaving,
    notifications_leaving,
    operators_leaving,
    orders_leaving,
    points_leaving,
    rewards_leaving,
    safety_leaving,
    sessions_leaving,
    sharing_leaving,
    uploads_leaving,
    withdrawals_leaving,
)
# Each says, as it is imported, how what a merged member has in its room goes over.
HAND_OVERS = (
    orders_merging,
    groupbuys_merging,
    coupons_merging,
    points_merging,
    sharing_merging,
    commissions_merging,
    withdrawals_merging,
    checkins_merging,
    rewards_merging,
    notifications_merging,
    uploads_merging,
    safety_merging,
    sessions_merging,
)
# Only the packaged template knows the stream: infra/template.json puts it in place of this name.
STREAM = os.environ.get("TRUTH_STREAM_ARN", "truth-stream")

app = http.App(app_name=telemetry.SERVICE, configure_logs=False)
# What phones ask for, and one kind of picture that chalice does not know.
app.api.binary_types += ["image/*", "image/webp"]
app.register_middleware(telemetry.of_the_run)
app.register_middleware(http.normalise, event_type="http")

doors.post(member=members.admit, operator=operators.authenticate, wechat=sessions_wechat.admit)
asking.post(notifications_routes.before)
safety.post(person=members.writer, address=pictures.address)

for room in (
    contract,
    uploads_routes,
    members_routes,
    members_admin,
    operators_admin,
    sessions_routes,
    sessions_mall,
    sessions_wechat,
    sharing_routes,
    sharing_admin,
    orders_routes,
    orders_mall,
    orders_wechat,
    orders_admin,
    groupbuys_routes,
    groupbuys_mall,
    groupbuys_admin,
    coupons_routes,
    coupons_mall,
    coupons_admin,
    points_routes,
    points_mall,
    points_admin,
    checkins_routes,
    checkins_admin,
    rewards_routes,
    rewards_admin,
    commissions_routes,
    commissions_admin,
    withdrawal_routes,
    withdrawal_mall,
    withdrawal_wechat,
    withdrawal_admin,
    support_admin,
    reconciling_admin,
    notifications_routes,
    notifications_admin,
):
    app.register_blueprint(room.api.blueprint)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def run_owed_facts(event: CloudWatchEvent) -> None:
    """React to facts that the stream did not bring in time."""
    due.run(job=facts.JOB, worker=_worker(event), now=clock.now(), seconds=JOB_SECONDS)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def send_deliveries(event: CloudWatchEvent) -> None:
    """Send what the outside has not confirmed yet: messages, and money to give back."""
    for job in (orders.REFUND_JOB, deliveries.JOB):
        due.run(job=job, worker=_worker(event), now=clock.now(), seconds=JOB_SECONDS / 2)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def release_holds(event: CloudWatchEvent) -> None:
    """Let seats go that were not paid in time."""
    due.run(job=group_holds.RELEASE_JOB, worker=_worker(event), now=clock.now(), seconds=JOB_SECONDS)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def expire_groups(event: CloudWatchEvent) -> None:
    """End groups whose time is over, and campaigns that were closed."""
    for job, share in ((closing.CLOSE_JOB, 1 / 3), (group_holds.EXPIRE_JOB, 2 / 3)):
        due.run(job=job, worker=_worker(event), now=clock.now(), seconds=JOB_SECONDS * share)


@app.schedule(Rate(1, unit=Rate.MINUTES))
def run_room_jobs(event: CloudWatchEvent) -> None:
    """What the rooms have due besides."""
    reconciling.plan(now=clock.now())
    bills.plan(now=clock.now())
    due.run_each(jobs=ROOM_JOBS, worker=_worker(event), now=clock.now(), seconds=JOB_SECONDS)
    stuck.watch_money(now=clock.now())


@app.schedule(Rate(1, unit=Rate.MINUTES))
def transfers(event: CloudWatchEvent) -> None:
    """Pay withdrawals by WeChat Pay: the one function whose address it knows, so the one that asks it to."""
    # One that is begun last may take four calls of seven seconds each.
    due.run(job=withdrawals.TRANSFER_JOB, worker=_worker(event), now=clock.now(), seconds=JOB_SECONDS / 2)


@app.on_dynamodb_record(stream_arn=STREAM, batch_size=100, starting_position="TRIM_HORIZON")
def react(event: DynamoDBEvent) -> dict[str, Any]:
    """The stream's first reader: facts, and the reactions of the rooms."""
    return facts.handle_stream(event.to_dict(), now=clock.now())


@app.on_dynamodb_record(stream_arn=STREAM, batch_size=10, starting_position="TRIM_HORIZON")
def deliver(event: DynamoDBEvent) -> None:
    """The stream's second reader: what is owed to the outside."""
    deliveries.handle_stream(event.to_dict(), now=clock.now())


def _worker(event: CloudWatchEvent) -> str:
    return str(event.to_dict().get("id") or uuid.uuid4())


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # A function that starts has a whole processor, and for its events the part of one that its memory is worth
    # (serverlessland.com, "Utilize initialization phase").
    table.client()
    gc.freeze()
    gc.enable()
