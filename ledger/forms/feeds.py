"""Forms of feeds: where a provider's figures are read from, and with which credential."""

from typing import Any

from django import forms

from ledger.models import Feed, FeedKind, Provider
from ledger.services.feed_files import FILE_KINDS

SECRET = {"autocomplete": "new-password", "spellcheck": "false"}


class FeedChangeForm(forms.Form):
    """Where a feed is read from; what is blank is as the kind has it, a blank credential is the one before."""

    base_url = forms.CharField(
        label="Address",
        max_length=300,
        required=False,
        help_text="Of the provider's own API; empty for the usual one.",
        widget=forms.URLInput(attrs={"placeholder": "https://api.provider.example", "autocomplete": "off"}),
    )
    credential = forms.CharField(
        label="Admin key",
        max_length=400,
        required=False,
        help_text="Stored encrypted and never shown again. Empty: the one it has.",
        widget=forms.PasswordInput(attrs=SECRET),
    )
    project = forms.CharField(
        label="Project or workspace", max_length=120, required=False, help_text="Only its figures; empty for all."
    )
    upstream = forms.CharField(
        label="Provider behind the proxy",
        max_length=60,
        required=False,
        help_text="Of LiteLLM alone: only what it sent there, by its own name (openai, anthropic); empty for all.",
    )

    @staticmethod
    def of(feed: Feed) -> dict[str, Any]:
        """Return what the form begins with; never the credential."""
        return {"base_url": feed.base_url, "project": feed.project, "upstream": feed.upstream}


class FeedForm(FeedChangeForm):
    """A new feed of a provider."""

    provider = forms.ModelChoiceField(Provider.objects.order_by("name"), label="Provider", empty_label="Choose one")
    kind = forms.ChoiceField(
        choices=[(kind.value, kind.label) for kind in FeedKind if kind not in FILE_KINDS],
        label="What it is",
        help_text="A provider has one feed of tokens and one of money at a time; some give both.",
    )
    field_order = ("provider", "kind", "base_url", "credential", "project", "upstream")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["credential"].help_text = "Stored encrypted and never shown again. Empty for the sandbox."

    def clean_kind(self) -> FeedKind:
        """Return the kind."""
        return FeedKind(self.cleaned_data["kind"])
