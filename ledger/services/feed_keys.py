"""The provider's keys that feeds name: which of them is Tank's own, and who answers for the others."""

from collections.abc import Iterable

from django.db import connection, transaction

from ledger import credentials
from ledger.models import Account, Feed, KeyStanding, ProviderKey, ReconciliationLine
from ledger.providers.base import KeySeen
from ledger.reconciliation.again import lines_ask_again
from ledger.selectors.journal import today
from teams.access import require
from teams.errors import Refused, require_reason
from teams.models import User
from teams.services import audit_record

SHORTEST_END = 3  # characters of each end of a secret that a hint must show to be taken for it

NEW_KEYS = """
INSERT INTO ledger_providerkey (provider_id, external_id, name, hint, standing, first_seen_on)
SELECT %(provider)s, g.provider_key, '', '', 'unknown', min(g.day)
  FROM ledger_feedfigure g WHERE g.feed_id = %(feed)s AND g.superseded_by_id IS NULL AND g.provider_key <> ''
   AND NOT EXISTS (SELECT FROM ledger_providerkey k
                    WHERE k.provider_id = %(provider)s AND k.external_id = g.provider_key)
 GROUP BY g.provider_key
ON CONFLICT (provider_id, external_id) DO NOTHING
"""


@transaction.atomic
def keys_note(feed: Feed, seen: Iterable[KeySeen]) -> None:
    """Note the keys that a provider lists; one whose shown ends are those of our credential is the gateway's."""
    secret = credentials.decrypt(bytes(feed.provider.credential_encrypted))
    for key in seen:
        standing = KeyStanding.GATEWAY if is_of(secret, key.hint) else KeyStanding.UNKNOWN
        row, is_new = ProviderKey.objects.get_or_create(
            provider=feed.provider,
            external_id=key.external_id,
            defaults={"name": key.name, "hint": key.hint, "standing": standing, "first_seen_on": today()},
        )
        if not is_new and (row.name, row.hint) != (key.name, key.hint):
            row.name, row.hint = key.name, key.hint
            if row.standing == KeyStanding.UNKNOWN:
                row.standing = standing
            row.save(update_fields=["name", "hint", "standing"])


def is_of(secret: str, hint: str) -> bool:
    """Say whether a hint such as "sk-abc...def" shows the two ends of a secret; short ends prove nothing."""
    head, dots, tail = hint.replace("…", "...").partition("...")
    tail = tail.lstrip(".")
    long_enough = len(head) >= SHORTEST_END and len(tail) >= SHORTEST_END
    return bool(dots) and long_enough and secret.startswith(head) and secret.endswith(tail)


def keys_found(feed: Feed) -> None:
    """Note the keys that the feed's figures name and that nobody has heard of yet."""
    with connection.cursor() as cursor:
        cursor.execute(NEW_KEYS, {"provider": feed.provider_id, "feed": feed.pk})


@transaction.atomic
def key_stand(
    *,
    actor: User,
    key: ProviderKey,
    standing: KeyStanding,
    reason: str,
    owner: User | None = None,
    account: Account | None = None,
) -> ProviderKey:
    """Say whose a provider's key is, and which line pays for it; the next run matches the days that it is on again.

    Raises NotAllowed, Refused (reason_missing, owner_missing, not_a_line).
    """
    require(actor, "ledger.judge_reconciliation", message="Only finance says whose a key is.")
    require_reason(reason)
    if standing == KeyStanding.CLAIMED and owner is None:
        raise Refused("Say who answers for this key.", code="owner_missing", field="owner")
    if account is not None and account.account_class != "line":
        raise Refused("Only an allocation line pays for a key.", code="not_a_line", field="account")
    locked = ProviderKey.objects.select_for_update().get(pk=key.pk)
    before = locked.standing
    locked.standing, locked.owner, locked.account = standing, owner, account
    locked.save(update_fields=["standing", "owner", "account"])
    # Agreed ones too: another account may pay now.
    lines_ask_again(ReconciliationLine.objects.filter(provider_key=locked))
    details = {"before": before, "owner": owner.pk if owner else None, "account": account.code if account else None}
    audit_record(actor=actor, verb=f"provider_key.{standing}", target=locked, reason=reason, details=details)
    return locked
