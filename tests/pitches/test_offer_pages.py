"""The pages of an offer: the team's, where it is answered and countered, and the committee's."""

import pytest

from allocations.models import Allocation
from pitches import services
from pitches.models import Counter, Offer, Pitch
from teams.models import Notification
from tests.cast import Company
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed
from tests.pitches.stage import Stage, calendar, of, queries_of

# --- The team's page --------------------------------------------------------------------------------


@pytest.mark.django_db
class TestTheTeamsPage:
    def test_a_lead_counters_on_the_page_and_sees_the_four_figures(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered(amount="2000")
        ana = company.client(company.ana)
        assert_readable(ana.get(of("offer/", offer.pitch)))

        page = ana.post(
            of("offer/counter/", offer.pitch),
            {"amount-standard": "3,000", "message": "A second desk joins."},
            follow=True,
        )

        assert "Countered. The committee has been told" in page_of(page).text
        assert rows(page, "Asked and awarded, table") == [
            ["Standard", "$2,400.00", "$2,000.00", "$3,000.00", "$1,000.00"],
            ["Together", "$2,400.00", "$2,000.00", "$3,000.00", "$1,000.00"],
        ]
        assert "A second desk joins." in page_of(page).one("ol", class_="timeline exchange").text
        assert_readable(page)

    @pytest.mark.parametrize(
        ("typed_", "field", "message"),
        [
            (
                {"amount-standard": "5000", "message": "More"},
                "amount-standard",
                "$5,000.00 on Standard is more than was asked for: at most $4,800.00.",
            ),
            ({"amount-standard": "about 4k", "message": "More"}, "amount-standard", "Write dollars such as"),
            ({"amount-standard": "3000", "message": ""}, "message", "This field is required."),
        ],
    )
    def test_what_is_wrong_with_a_counter_stands_beside_it_and_what_was_typed_stays(
        self, stage: Stage, company: Company, typed_: dict[str, str], field: str, message: str
    ) -> None:
        [offer] = stage.offered()

        answer = company.client(company.ana).post(of("offer/counter/", offer.pitch), typed_)

        assert answer.status_code == 422
        assert error_beside(answer, field).startswith(message)
        assert typed(answer, "amount-standard") == typed_["amount-standard"]
        assert_readable(answer)

    def test_the_same_amounts_are_no_counter(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()

        answer = company.client(company.ana).post(
            of("offer/counter/", offer.pitch), {"amount-standard": "2400", "message": "Please"}
        )

        assert answer.status_code == 422
        assert "These are the lines of the offer." in page_of(answer).one("main").text

    def test_a_lead_takes_the_counter_back(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        made = stage.countered(offer)
        ana = company.client(company.ana)
        address = of(f"offer/counter/{made.pk}/withdraw/", offer.pitch)
        assert ana.post(address, {"reason": ""}).status_code == 422

        page = ana.post(address, {"reason": "A mistake"}, follow=True)

        assert "Taken back. The offer is open as it was." in page_of(page).text
        assert Counter.objects.get().state == "withdrawn"
        assert company.client(company.bo).post(address, {"reason": "A mistake"}).status_code == 422
        assert company.client(company.cy).post(address, {"reason": "A mistake"}).status_code == 404
        assert ana.post(of("offer/counter/999/withdraw/", offer.pitch), {"reason": "x"}).status_code == 404

    def test_an_offer_that_was_replaced_since_the_page_was_read_is_not_accepted_by_it(
        self, stage: Stage, company: Company
    ) -> None:
        [offer] = stage.offered()
        services.counter_accept(actor=company.gil, counter=stage.countered(offer), reason="Shown well.")

        page = company.client(company.ana).post(of("offer/accept/", offer.pitch), {"offer": offer.pk}, follow=True)

        assert "The offer has changed since you opened the page." in page_of(page).text
        assert heading(page) == "$4,000.00 for Claims triage"
        assert Allocation.objects.count() == 0

    def test_the_page_asks_as_often_for_a_long_exchange_as_for_a_short_one(
        self, stage: Stage, company: Company
    ) -> None:
        [offer] = stage.offered()
        made = stage.countered(offer, "3000")
        ana, path = company.client(company.ana), of("offer/", offer.pitch)
        before = queries_of(ana, path)

        newest = services.counter_accept(actor=company.gil, counter=made, reason="Shown well.")
        newest = services.counter_accept(actor=company.gil, counter=stage.countered(newest), reason="Well.")
        stage.countered(newest, "4500")

        assert queries_of(ana, path) == before


# --- The committee's pages --------------------------------------------------------------------------


def desk_of_offers(stage: Stage) -> str:
    return f"/admin/pitches/round/{stage.round.pk}/offers/"


def exchange(offer: Offer) -> str:
    return f"/admin/pitches/round/pitch/{offer.pitch_id}/offer/"


@pytest.mark.django_db
class TestTheCommitteesPages:
    def test_the_list_shows_what_waits_for_whom_the_committee_first(self, stage: Stage, company: Company) -> None:
        one, two = stage.offered("One", "Two", amount="1000")
        stage.countered(two, "1500")

        page = company.client(company.gil).get(desk_of_offers(stage))

        assert [[line[0], *line[2:5], line[6]] for line in rows(page, "Offers, table")] == [
            [f"Two {two.pitch.number} · Claims", "$2,400.00", "$1,000.00", "$1,500.00", "the committee"],
            [f"One {one.pitch.number} · Claims", "$2,400.00", "$1,000.00", "—", "Claims"],
        ]
        assert "$7,000.00 not awarded, not offered" in page_of(page).text

    def test_the_home_page_of_who_answers_says_that_one_waits(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        stage.countered(offer)

        told = {
            name: "1 counter-offer to answer" in page_of(company.client(company.person(name)).get("/")).text
            for name in ("gil", "dee", "ana")
        }

        assert told == {"gil": True, "dee": False, "ana": False}

    def test_before_publication_it_says_that_there_is_nothing(self, stage: Stage, company: Company) -> None:
        page = company.client(company.gil).get(desk_of_offers(stage))

        assert "No offers yet" in page_of(page).text

    def test_the_chair_answers_and_the_page_says_what_that_did(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        stage.countered(offer)
        gil = company.client(company.gil)

        refused = gil.post(exchange(offer), {"answer": "counter", "amount-standard": "9500", "reason": "All of it"})
        assert refused.status_code == 422
        assert "$9,500.00 does not fit: $9,000.00 of the round is free." in page_of(refused).text
        late = gil.post(exchange(offer), {"answer": "accept", "reason": "Well.", "until": "2099-01-01T12:00"})
        assert error_beside(late, "until").startswith("At the latest")
        done = gil.post(
            exchange(offer), {"answer": "counter", "amount-standard": "3000", "reason": "Half."}, follow=True
        )

        assert "Answered: the team has a new offer with your amounts." in page_of(done).text
        assert list(Offer.objects.order_by("pk").values_list("state", flat=True)) == ["replaced", "open"]

    @pytest.mark.parametrize(("answer", "states"), [("accept", ["replaced", "open"]), ("refuse", ["open"])])
    def test_each_answer_is_one_button_away(
        self, stage: Stage, company: Company, answer: str, states: list[str]
    ) -> None:
        [offer] = stage.offered()
        stage.countered(offer)

        company.client(company.gil).post(exchange(offer), {"answer": answer, "reason": "Shown well."})

        assert list(Offer.objects.order_by("pk").values_list("state", flat=True)) == states

    def test_whoever_has_a_conflict_sees_that_there_is_an_offer_and_nothing_else(
        self, stage: Stage, company: Company
    ) -> None:
        pitch = stage.submitted()
        services.recusal_declare(actor=company.fay, pitch=pitch, reason="I built its pilot.")
        stage.to_decide(pitch)
        stage.fund(pitch)
        services.round_publish(actor=company.gil, round_=stage.round)
        offer = Offer.objects.get()
        stage.countered(offer)
        fay = company.client(company.fay)

        [line] = rows(fay.get(desk_of_offers(stage)), "Offers, table")

        assert line[1:] == ["recused", "Hidden from you."]
        assert fay.get(exchange(offer)).status_code == 404
        assert not Notification.objects.filter(user=company.fay, title__contains="countered").exists()
        assert fay.get("/api/v1/offers/").json()["count"] == 0

    def test_other_members_read_the_exchange_and_find_no_form(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        stage.countered(offer)
        dee = company.client(company.dee)

        page = page_of(dee.get(exchange(offer))).one("div", class_="tank")
        answer = dee.post(exchange(offer), {"answer": "accept", "reason": "Shown well."})

        assert "A second desk joins." in page.text
        assert page.all("button") == []
        assert answer.status_code == 422
        assert Counter.objects.get().state == "open"

    def test_the_list_asks_as_often_for_three_offers_as_for_one(self, stage: Stage, company: Company) -> None:
        gil = company.client(company.gil)
        offers = stage.offered("One", "Two", "Three", amount="1000")
        stage.countered(offers[0], "1100")
        stage.countered(offers[1], "1100")
        three = queries_of(gil, desk_of_offers(stage))
        api = queries_of(gil, "/api/v1/offers/")

        elsewhere = services.round_create(
            actor=company.gil,
            name="Elsewhere",
            cap=stage.round.cap_money,
            calendar=calendar(),
            starts_on=stage.round.starts_on,
            months=6,
        )
        Pitch.objects.exclude(pk=offers[0].pitch_id).update(round=elsewhere)

        assert queries_of(gil, desk_of_offers(stage)) == three
        assert queries_of(gil, "/api/v1/offers/") == api

    def test_the_order_of_the_waitlist_is_set_where_the_committee_decides(self, stage: Stage, company: Company) -> None:
        one, two = stage.submitted("One"), stage.submitted("Two")
        stage.to_decide(one, two)
        gil = company.client(company.gil)
        for pitch in (one, two):
            gil.post(
                f"/admin/pitches/round/pitch/{pitch.pk}/decide/",
                {"outcome": "waitlist", "reason": "Good, behind the others.", "amount-standard": "2,000"},
            )
        decide = f"/admin/pitches/round/{stage.round.pk}/decide/"
        assert [line[:3] for line in rows(gil.get(decide), "Waitlist, table")] == [
            ["1", "One Claims", "$2,000.00"],
            ["2", "Two Claims", "$2,000.00"],
        ]

        gil.post(f"/admin/pitches/round/pitch/{two.pk}/waitlist-raise/")
        taken = gil.post(
            f"/admin/pitches/round/pitch/{one.pk}/decide/",
            {"outcome": "waitlist", "reason": "Good, behind the others.", "amount-standard": "2,000", "place": "1"},
        )

        assert [line[1] for line in rows(gil.get(decide), "Waitlist, table")] == ["Two Claims", "One Claims"]
        assert error_beside(taken, "place") == "Place 1 is taken. Move pitches up on the list."
