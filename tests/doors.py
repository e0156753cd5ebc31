"""Who may come to the doors, and which route each of them may pass: the matrix that `test_http` walks.

Whoever adds a route adds a line to `MAY_PASS`.
"""

from typing import get_args

from chalicelib.core.doors import Role

ROLES: tuple[Role, ...] = get_args(Role)
CALLERS = (
    "stranger",
    "forged",  # a session signed with another key
    "expired",
    "visit",  # the token of a visit in place of a session
    "member",
    "another",  # somebody else than whose things are asked for
    "blocked",
    *ROLES,
    "off",  # an operator's key that was switched off
    "mall",
    "badly",  # the mall with a signature that is not of this call
    "late",  # its signature of some minutes ago
    "replayed",  # its signature with the id of another call
    "foreign",  # a signature with another shop's secret
)
ANYBODY = CALLERS  # a public door looks at a session, and takes one that is no good for nobody's

MAY_PASS = """
GET    /v1/openapi.json                          anybody
GET    /v1/programs                              anybody
POST   /v1/sessions                              anybody
GET    /s/{code}                                 anybody
POST   /v1/links/{code}/visits                   anybody
GET    /v1/links/{code}/qr                       anybody
GET    /v1/groupbuys                             anybody
GET    /v1/groupbuys/{campaign_id}               anybody
GET    /v1/groupbuys/{campaign_id}/groups        anybody
GET    /v1/groups/{group_id}                     anybody
GET    /v1/products/{product_id}/offers          anybody
GET    /v1/checkins                              anybody
GET    /v1/checkins/{campaign_id}                anybody
GET    /v1/checkins/{campaign_id}/teams/{team_id}  anybody
POST   /v1/sandbox/orders/{order_id}/payments/{payment_id}  anybody
GET    /v1/coupons                               anybody
GET    /v1/gifts/{code}                          anybody
GET    /v1/packs                                 anybody
GET    /v1/packs/{pack_id}                       anybody
GET    /v1/invites                               anybody

GET    /v1/points/exchanges                      anybody

GET    /v1/me/points                             member
GET    /v1/me/points/entries                     member
GET    /v1/me/badges                             member
POST   /v1/points/exchanges                      member

POST   /v1/mall/points/freeze                    mall
POST   /v1/mall/points/spend                     mall
POST   /v1/mall/points/release                   mall
GET    /v1/mall/members/{ref}                    mall

GET    /v1/admin/points/settings                 owner marketing support finance store
PUT    /v1/admin/points/settings                 owner marketing
GET    /v1/admin/points/exchanges                owner marketing support finance store
GET    /v1/admin/points/exchanges.csv  owner marketing support finance store
POST   /v1/admin/points/exchanges                owner marketing
PUT    /v1/admin/points/exchanges/{exchange_id}  owner marketing
DELETE /v1/admin/points/exchanges/{exchange_id}  owner marketing
POST   /v1/admin/points/exchanges/{exchange_id}/pause   owner marketing
POST   /v1/admin/points/exchanges/{exchange_id}/resume  owner marketing
POST   /v1/admin/points/exchanges/{exchange_id}/stock   owner marketing
GET    /v1/admin/levels                          owner marketing support finance store
PUT    /v1/admin/levels                          owner marketing
GET    /v1/admin/badges                          owner marketing support finance store
GET    /v1/admin/badges.csv  owner marketing support finance store
POST   /v1/admin/badges                          owner marketing
PUT    /v1/admin/badges/{badge_id}               owner marketing
GET    /v1/admin/members/{member_id}/points      owner support finance
POST   /v1/admin/members/{member_id}/points      owner support

POST   /v1/sandbox/withdrawals/{withdrawal_id}/confirm  anybody
GET    /v1/me/withdrawals/rules                  member
POST   /v1/me/withdrawals/quote                  member
POST   /v1/me/withdrawals                        member
GET    /v1/me/withdrawals                        member
GET    /v1/me/withdrawals/statements             member
GET    /v1/me/withdrawals/{withdrawal_id}        member
POST   /v1/me/withdrawals/{withdrawal_id}/cancel  member
GET    /v1/me/payee                              member
PUT    /v1/me/payee                              member
POST   /v1/mall/withdrawals/{withdrawal_id}/outcome  mall
GET    /v1/admin/withdrawals/settings            owner marketing support finance store
POST   /v1/admin/withdrawals/settings            owner finance
GET    /v1/admin/withdrawals                     owner support finance
GET    /v1/admin/withdrawals.csv                 owner support finance
GET    /v1/admin/withdrawals/statements          owner support finance
GET    /v1/admin/withdrawals/statements.csv      owner support finance
POST   /v1/admin/withdrawals/statements/export   owner finance
GET    /v1/admin/withdrawals/{withdrawal_id}     owner support finance
POST   /v1/admin/withdrawals/{withdrawal_id}/approve  owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/reject   owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/paid     owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/failed   owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/payee    owner finance

GET    /v1/uploads/{upload_id}                   anybody
POST   /v1/uploads                               member
PUT    /v1/uploads/{upload_id}                   member
POST   /v1/uploads/{upload_id}/done              member
POST   /v1/links/{code}/openings                 member
GET    /v1/links/{code}/poster                   anybody
GET    /v1/links/{code}/poster.svg               anybody
POST   /v1/me/phone                              member
POST   /v1/me/chat-groups                        member
POST   /v1/me/private-messages                   member
POST   /v1/admin/orders/{order_id}/shipment      owner support
GET    /v1/me                                    member
PUT    /v1/me                                    member
GET    /v1/me/deletion                           member
POST   /v1/me/deletion                           member
DELETE /v1/me/deletion                           member
GET    /v1/me/export                             member
GET    /v1/me/binding                            member
POST   /v1/me/binding                            member
GET    /v1/attributions/{order_id}               member
POST   /v1/links                                 member
POST   /v1/links/batch                           member
DELETE /v1/links/{code}                          member
GET    /v1/links/{code}/funnel                   member
GET    /v1/me/groups                             member
POST   /v1/groupbuys/{campaign_id}/groups        member
POST   /v1/groups/{group_id}/seats               member
DELETE /v1/groups/{group_id}/seats/me            member
GET    /v1/orders/{order_id}                     member
POST   /v1/orders/{order_id}/payments            member
POST   /v1/orders/{order_id}/payments/check      member
POST   /v1/orders/{order_id}/cancel              member
POST   /v1/coupons/{template_id}/claims          member
POST   /v1/coupons/claims                        member
POST   /v1/coupons/quote                         member
GET    /v1/me/coupons                            member
GET    /v1/me/coupons/{coupon_id}/code           member
POST   /v1/coupons/codes                         member
POST   /v1/me/coupons/{coupon_id}/gifts          member
DELETE /v1/me/coupons/{coupon_id}/gifts          member
POST   /v1/gifts/{code}/claims                   member
GET    /v1/me/packs                              member
POST   /v1/packs                                 member
POST   /v1/packs/{pack_id}/pieces                member
GET    /v1/checkins/{campaign_id}/chat-groups/{chat_group_id}  member
POST   /v1/checkins/{campaign_id}                member
POST   /v1/checkins/{campaign_id}/makeups        member
PUT    /v1/checkins/{campaign_id}/reminder       member
POST   /v1/checkins/{campaign_id}/teams          member
POST   /v1/checkins/{campaign_id}/teams/{team_id}/members  member
DELETE /v1/checkins/{campaign_id}/teams/{team_id}/members/me  member

POST   /v1/mall/sessions                         mall
POST   /v1/mall/groupbuys/{campaign_id}/seats    mall
DELETE /v1/mall/seats/{mall_order_id}            mall
GET    /v1/mall/orders/{order_id}                mall
POST   /v1/mall/events                           mall
POST   /v1/mall/reconciliations                  mall
POST   /v1/mall/coupons/quote                    mall
POST   /v1/mall/coupons/lock                     mall
POST   /v1/mall/coupons/redeem                   mall
POST   /v1/mall/coupons/release                  mall
POST   /v1/mall/coupons/return                   mall
POST   /v1/mall/packs                            mall

GET    /v1/admin/me                              owner marketing support finance store
GET    /v1/admin/programs                        owner marketing support finance store
GET    /v1/admin/programs.csv  owner marketing support finance store
POST   /v1/admin/programs                        owner
PUT    /v1/admin/programs/{program_id}           owner
DELETE /v1/admin/programs/{program_id}           owner
GET    /v1/admin/cards                           owner marketing support finance store
GET    /v1/admin/cards.csv  owner marketing support finance store
PUT    /v1/admin/cards                           owner marketing
DELETE /v1/admin/cards/{card_id}                 owner marketing
GET    /v1/admin/targets                         owner marketing support finance store
GET    /v1/admin/targets.csv  owner marketing support finance store
PUT    /v1/admin/targets                         owner marketing
GET    /v1/admin/policies                        owner marketing support finance store
GET    /v1/admin/policies.csv  owner marketing support finance store
POST   /v1/admin/policies                        owner marketing
POST   /v1/admin/policies/dryrun                 owner marketing finance
GET    /v1/admin/attributions/{order_id}         owner marketing support finance store
POST   /v1/admin/links/{code}/off                owner marketing support
GET    /v1/admin/members                         owner support finance
GET    /v1/admin/members/{member_id}             owner support finance
POST   /v1/admin/members/{member_id}/block       owner support
POST   /v1/admin/members/{member_id}/unblock     owner support
GET    /v1/admin/members/{member_id}/binding     owner support finance
PUT    /v1/admin/members/{member_id}/binding     owner support
GET    /v1/admin/audit                           owner finance
GET    /v1/admin/audit.csv                       owner finance
GET    /v1/admin/stuck                           owner support finance
GET    /v1/admin/stuck.csv                       owner support finance
POST   /v1/admin/stuck/{stuck_id}/retry          owner support finance
POST   /v1/admin/stuck/{stuck_id}/settle         owner support finance
POST   /v1/admin/stuck/{stuck_id}/cancel         owner support finance
GET    /v1/admin/bills                           owner support finance
GET    /v1/admin/bills.csv                       owner support finance
GET    /v1/admin/bills/differences               owner support finance
GET    /v1/admin/bills/differences.csv           owner support finance
GET    /v1/admin/drifts                          owner support finance
GET    /v1/admin/drifts.csv                      owner support finance
GET    /v1/admin/reconciliations                 owner support finance
GET    /v1/admin/reconciliations.csv             owner support finance
GET    /v1/admin/deliveries                      owner support finance
GET    /v1/admin/deliveries.csv                  owner support finance
GET    /v1/admin/members/{member_id}/timeline    owner support finance
GET    /v1/admin/members/{member_id}/timeline.csv  owner support finance
GET    /v1/admin/groupbuys                       owner marketing support finance store
GET    /v1/admin/groupbuys.csv                   owner marketing support finance store
POST   /v1/admin/groupbuys                       owner marketing
PUT    /v1/admin/groupbuys/{campaign_id}         owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/copy    owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/pause   owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/resume  owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/close   owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/stock   owner marketing
GET    /v1/admin/groupbuys/{campaign_id}/report  owner marketing finance
GET    /v1/admin/groupbuys/{campaign_id}/report.csv  owner marketing finance
GET    /v1/admin/orders                          owner support finance
GET    /v1/admin/orders.csv                      owner support finance
GET    /v1/admin/checkins                        owner marketing support finance store
GET    /v1/admin/checkins.csv  owner marketing support finance store
POST   /v1/admin/checkins                        owner marketing
PUT    /v1/admin/checkins/{campaign_id}          owner marketing
POST   /v1/admin/checkins/{campaign_id}/pause    owner marketing
POST   /v1/admin/checkins/{campaign_id}/resume   owner marketing
POST   /v1/admin/checkins/{campaign_id}/close    owner marketing
GET    /v1/admin/checkins/{campaign_id}/report   owner marketing finance
GET    /v1/admin/checkins/{campaign_id}/members/{member_id}/notes  owner marketing support
PUT    /v1/admin/checkins/{campaign_id}/members/{member_id}/notes/{date}  owner marketing support
GET    /v1/admin/orders/{order_id}               owner support finance
POST   /v1/admin/orders/{order_id}/refund        owner support finance
GET    /v1/promoters/rules                       anybody
POST   /v1/promoters                             member
GET    /v1/me/promoter                           member
GET    /v1/me/promoter/months                    member
GET    /v1/promoters/ranking                     member
GET    /v1/me/invitees                           member
GET    /v1/me/invitees/{member_id}               member
GET    /v1/me/commissions                        member
GET    /v1/commissions/{commission_id}/explanation  member
POST   /v1/commissions/estimate                  member
GET    /v1/admin/distribution                    owner marketing support finance store
POST   /v1/admin/distribution                    owner marketing
GET    /v1/admin/rates                           owner marketing support finance store
GET    /v1/admin/rates.csv  owner marketing support finance store
POST   /v1/admin/rates                           owner marketing
GET    /v1/admin/rates/{rate_id}/versions        owner marketing support finance store
GET    /v1/admin/rates/{rate_id}/versions.csv  owner marketing support finance store
DELETE /v1/admin/rates/{rate_id}                 owner marketing
GET    /v1/admin/promoters                       owner marketing support finance
GET    /v1/admin/promoters.csv                   owner marketing support finance
POST   /v1/admin/promoters                       owner marketing
POST   /v1/admin/promoters/{member_id}/approve   owner marketing
POST   /v1/admin/promoters/{member_id}/refuse    owner marketing
POST   /v1/admin/promoters/{member_id}/suspend   owner marketing
POST   /v1/admin/promoters/{member_id}/resume    owner marketing
POST   /v1/admin/promoters/{member_id}/tier      owner marketing
GET    /v1/admin/commissions                     owner marketing support finance
GET    /v1/admin/commissions.csv                 owner marketing support finance
GET    /v1/admin/commissions/held                owner marketing support finance
GET    /v1/admin/commissions/held.csv            owner marketing support finance
GET    /v1/admin/commissions/{commission_id}     owner marketing support finance
POST   /v1/admin/commissions/{commission_id}/hold     owner finance
POST   /v1/admin/commissions/{commission_id}/release  owner finance
POST   /v1/admin/commissions/{commission_id}/refuse   owner finance
GET    /v1/admin/settlements/{day}               owner marketing support finance
GET    /v1/admin/settlements/{day}/lines         owner marketing support finance
GET    /v1/admin/settlements/{day}/lines.csv     owner marketing support finance
GET    /v1/rewards                               anybody
GET    /v1/me/rewards                            member
GET    /v1/admin/rewards                         owner marketing support finance store
GET    /v1/admin/rewards.csv  owner marketing support finance store
POST   /v1/admin/rewards                         owner marketing
GET    /v1/admin/rewards/{reward_id}             owner marketing support finance
PUT    /v1/admin/rewards/{reward_id}             owner marketing
POST   /v1/admin/rewards/{reward_id}/on          owner marketing
POST   /v1/admin/rewards/{reward_id}/off         owner marketing
GET    /v1/admin/rewards/{reward_id}/versions    owner marketing support finance
POST   /v1/admin/rewards/{reward_id}/dryrun     owner marketing
GET    /v1/admin/rewards/{reward_id}/report      owner marketing support finance
PUT    /v1/admin/members/{member_id}/tags        owner marketing support
GET    /v1/admin/coupons                         owner marketing support finance store
POST   /v1/admin/coupons                         owner marketing
PUT    /v1/admin/coupons/{template_id}           owner marketing
POST   /v1/admin/coupons/{template_id}/on        owner marketing
POST   /v1/admin/coupons/{template_id}/off       owner marketing
POST   /v1/admin/coupons/{template_id}/stock     owner marketing
POST   /v1/admin/coupons/verify                  owner store
GET    /v1/admin/members/{member_id}/coupons     owner marketing support
GET    /v1/admin/members/{member_id}/coupons.csv  owner marketing support
POST   /v1/admin/members/{member_id}/coupons/{coupon_id}/void  owner marketing support
POST   /v1/admin/coupons/{template_id}/grants    owner marketing
GET    /v1/admin/coupons/{template_id}/grants/{batch}  owner marketing support finance store
POST   /v1/admin/coupons/{template_id}/codes     owner marketing
GET    /v1/admin/coupons/{template_id}/codes/{batch}  owner marketing
GET    /v1/admin/coupons/{template_id}/codes/{batch}/print  owner marketing
GET    /v1/admin/coupons/{template_id}/codes/{batch}/print.csv  owner marketing
POST   /v1/admin/coupons/{template_id}/codes/{batch}/on   owner marketing
POST   /v1/admin/coupons/{template_id}/codes/{batch}/off  owner marketing
GET    /v1/admin/packs                           owner marketing support finance store
GET    /v1/admin/packs.csv  owner marketing support finance store
POST   /v1/admin/packs                           owner marketing
POST   /v1/admin/packs/{plan_id}/on              owner marketing
POST   /v1/admin/packs/{plan_id}/off             owner marketing
GET    /v1/admin/invites                         owner marketing support finance store
GET    /v1/admin/invites.csv  owner marketing support finance store
POST   /v1/admin/invites                         owner marketing
POST   /v1/admin/invites/{plan_id}/off           owner marketing
GET    /v1/me/notifications                      member
POST   /v1/me/notifications/seen                 member
GET    /v1/me/notification-settings              member
PUT    /v1/me/notification-settings              member
GET    /v1/subscriptions/ask                     member
POST   /v1/me/subscriptions                      member
POST   /v1/groups/{group_id}/activity            member
GET    /v1/admin/programs/{program_id}/templates  owner marketing support finance store
PUT    /v1/admin/programs/{program_id}/templates  owner marketing
"""
_ALL = {"anybody": ANYBODY, "member": ("member", "another")}
DOORS = {
    f"{method} {path}": tuple(caller for name in who for caller in _ALL.get(name, (name,)))
    for method, path, *who in (line.split() for line in MAY_PASS.splitlines() if line)
}
