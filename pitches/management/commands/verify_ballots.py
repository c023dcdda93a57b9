"""Prove the vote of a round: every ballot is the envelope that was cast, and says what was counted."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from pitches.models import Ballot, Round
from pitches.services import ballots_verify
from teams.errors import Refused


class Command(BaseCommand):
    help = (
        "Prove that no ballot of a round was changed, dropped or added since it was cast. Exits with 1 when one was. "
        "Asks for the private half of the round's key, which leaves a line in the database server's log."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("round", help="Name or id of the round.")

    def handle(self, *args: Any, **options: Any) -> None:
        said: str = options["round"]
        rounds = Round.objects.filter(name=said)
        round_ = rounds.first() or (Round.objects.filter(pk=int(said)).first() if said.isdecimal() else None)
        if round_ is None:
            raise CommandError(f"There is no round “{said}”.")
        try:
            wrong = ballots_verify(round_)
        except Refused as refusal:
            raise CommandError(refusal.message) from refusal
        for sentence in wrong:
            self.stderr.write(sentence)
        if wrong:
            raise CommandError(f"{round_}: {len(wrong)} found.")
        count = Ballot.objects.filter(pitch__round=round_).count()
        self.stdout.write(f"{round_}: {count} ballots are the envelopes that were cast and say what was counted.")
