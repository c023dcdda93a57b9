"""Addresses of rounds, pitches and offers."""

from django.urls import URLPattern, path

from pitches import api, api_folder, api_offers
from pitches.views import attachments, claims, editor, offers, pitches, results, rounds, similar, thread

app_name = "pitches"
urlpatterns: list[URLPattern] = [
    path("rounds/", rounds.round_list, name="rounds"),
    path("rounds/<int:pk>/", rounds.round_page, name="round"),
    path("rounds/<int:pk>/results/", results.results, name="results"),
    path("rounds/<int:pk>/results.csv", results.results_csv, name="results_csv"),
    path("rounds/<int:pk>/results.json", results.results_json, name="results_json"),
    path("rounds/claims/", claims.claims, name="claims"),
    path("rounds/claims.csv", claims.claims_csv, name="claims_csv"),
    path("rounds/claims/new/", claims.claim_new, name="claim_new"),
    path("pitches/", pitches.pitch_list, name="pitches"),
    path("pitches/new/", pitches.pitch_new, name="new"),
    path("pitches/<int:pk>/", pitches.pitch_page, name="pitch"),
    path("pitches/<int:pk>/edit/", editor.pitch_edit, name="edit"),
    path("pitches/<int:pk>/draft/", editor.pitch_draft, name="draft"),
    path("pitches/<int:pk>/revisions/<int:number>/", pitches.pitch_revision, name="revision"),
    path("pitches/<int:pk>/withdraw/", pitches.pitch_withdraw, name="withdraw"),
    path("pitches/<int:pk>/carry-over/", pitches.pitch_carry_over, name="carry_over"),
    path("pitches/<int:pk>/offer/", offers.offer_page, name="offer"),
    path("pitches/<int:pk>/offer/accept/", offers.offer_accept, name="offer_accept"),
    path("pitches/<int:pk>/offer/decline/", offers.offer_decline, name="offer_decline"),
    path("pitches/<int:pk>/offer/counter/", offers.offer_counter, name="offer_counter"),
    path("pitches/<int:pk>/offer/counter/<int:counter>/withdraw/", offers.counter_withdraw, name="counter_withdraw"),
    path("api/v1/offers/", api_offers.OfferList.as_view(), name="api_offers"),
    path("api/v1/offers/<int:pk>/", api_offers.OfferDetail.as_view(), name="api_offer"),
    path("api/v1/offers/<int:pk>/accept/", api_offers.OfferAccept.as_view(), name="api_offer_accept"),
    path("api/v1/offers/<int:pk>/decline/", api_offers.OfferDecline.as_view(), name="api_offer_decline"),
    path("api/v1/offers/<int:pk>/counter/", api_offers.OfferCounter.as_view(), name="api_offer_counter"),
    path("api/v1/offers/<int:pk>/answer/", api_offers.CounterAnswer.as_view(), name="api_counter_answer"),
    path("pitches/<int:pk>/attachments/", attachments.attachments_page, name="attachments"),
    path("pitches/<int:pk>/attachments/<int:attachment>/", attachments.attachment_download, name="attachment"),
    path(
        "pitches/<int:pk>/attachments/<int:attachment>/remove/",
        attachments.attachment_remove,
        name="attachment_remove",
    ),
    path("pitches/<int:pk>/questions/", thread.questions_page, name="questions"),
    path("pitches/<int:pk>/similar/", similar.similar_part, name="similar"),
    path("api/v1/rounds/", api.RoundList.as_view(), name="api_rounds"),
    path("api/v1/rounds/<int:pk>/", api.RoundDetail.as_view(), name="api_round"),
    path("api/v1/pitches/", api.PitchList.as_view(), name="api_pitches"),
    path("api/v1/pitches/<int:pk>/", api.PitchDetail.as_view(), name="api_pitch"),
    path("api/v1/pitches/<int:pk>/submit/", api.PitchSubmit.as_view(), name="api_submit"),
    path("api/v1/pitches/search/", api_folder.PitchSearch.as_view(), name="api_search"),
    path("api/v1/pitches/<int:pk>/copy/", api_folder.PitchCopy.as_view(), name="api_copy"),
    path("api/v1/pitches/<int:pk>/similar/", api_folder.PitchSimilar.as_view(), name="api_similar"),
    path("api/v1/pitches/<int:pk>/questions/", api_folder.QuestionList.as_view(), name="api_questions"),
    path("api/v1/pitches/<int:pk>/attachments/", api_folder.AttachmentList.as_view(), name="api_attachments"),
    path(
        "api/v1/pitches/<int:pk>/attachments/<int:attachment>/",
        api_folder.AttachmentDetail.as_view(),
        name="api_attachment",
    ),
]
