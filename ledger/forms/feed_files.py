"""The forms of figures that come in files: a feed for them, and one of them."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from ledger.models import Feed, FeedKind, Provider
from ledger.providers.base import Span
from ledger.services.feed_files import AT_ONCE_BYTES, FILE_KINDS, MOST_BYTES, MOST_DAYS

TOKENS, MONEY = "tokens", "money"


class FeedNewForm(forms.Form):
    """Whose files they are, of which kind, and what they give."""

    provider = forms.ModelChoiceField(Provider.objects.order_by("name"), label="Provider", empty_label="Choose one")
    kind = forms.ChoiceField(choices=[(kind.value, kind.label) for kind in FILE_KINDS], label="Kind of file")
    gives = forms.MultipleChoiceField(
        choices=[(TOKENS, "Tokens"), (MONEY, "Money")],
        initial=[TOKENS, MONEY],
        label="Its files give",
        widget=forms.CheckboxSelectMultiple,
        help_text="Of each, a provider has one feed at a time: two would count it twice.",
        error_messages={"required": "Say what its files give: tokens, money or both."},
    )


def _date(label: str, words: str) -> forms.DateField:
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    return forms.DateField(label=label, required=False, help_text=words, widget=widget)


class FeedFileForm(forms.Form):
    """A file, the feed that it is of, and the days that it restates if they are others than those in it."""

    feed = forms.ModelChoiceField(Feed.objects.none(), label="Feed", empty_label="Choose one")
    file = forms.FileField(
        label="File",
        help_text=f"CSV in UTF-8, at most {MOST_BYTES >> 20} MiB. It is checked first; nothing is taken in by that. "
        f"One of more than {AT_ONCE_BYTES >> 20} MiB is read in the background.",
        widget=forms.FileInput({"accept": ".csv,text/csv"}),
        error_messages={"empty": "The file is empty.", "required": "Choose a file."},
        max_length=200,
    )
    first = _date("First day, UTC", "Where the file is whole for more days than it has rows of.")
    last = _date("Last day, UTC", "Days of the period that the file says nothing of become empty.")

    def __init__(self, *args: Any, feeds: QuerySet[Feed], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["feed"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for the type checker
        field.queryset = feeds

    def clean_file(self) -> Any:
        """Refuse a file that is too large before it is read."""
        file = self.cleaned_data["file"]
        if (file.size or 0) > MOST_BYTES:
            raise forms.ValidationError(f"A file has at most {MOST_BYTES >> 20} MiB.", code="file_too_large")
        return file

    def clean(self) -> dict[str, Any]:
        """Refuse half a period, and one that ends before it begins."""
        said = self.cleaned_data
        first, last = said.get("first"), said.get("last")
        if bool(first) != bool(last) and not self.errors:
            missing = "last" if first else "first"
            self.add_error(missing, "Give both days of a period, or none.")
        elif first and last and last < first:
            self.add_error("last", "It ends before it begins.")
        elif first and last and (last - first).days >= MOST_DAYS:
            self.add_error("last", f"A period has at most {MOST_DAYS} days.")
        return said

    @property
    def span(self) -> Span | None:
        """Return the period that was given; None without one. Ask `is_valid` first."""
        first, last = self.cleaned_data["first"], self.cleaned_data["last"]
        return Span(first, last) if first and last else None


class FeedImportForm(forms.Form):
    """The import of a file that was checked."""

    upload = forms.CharField(widget=forms.HiddenInput)


def kind_of(name: str) -> FeedKind | None:
    """Return the kind of file that an address names; None for any other word."""
    return next((kind for kind in FILE_KINDS if kind.value == name), None)
