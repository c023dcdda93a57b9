"""The form of invoices that come in a file."""

from typing import Any

from django import forms

from ledger.services.invoice_files import MOST_BYTES

MOST = f"{MOST_BYTES // 1_000_000} MB"


class InvoiceFileForm(forms.Form):
    """A file of invoices to check."""

    file = forms.FileField(
        label="File",
        help_text=f"CSV in UTF-8, at most {MOST}. It is checked first; nothing is entered by that.",
        widget=forms.FileInput({"accept": ".csv,text/csv"}),
        error_messages={"empty": "The file is empty.", "required": "Choose a file."},
        max_length=200,
    )

    def clean_file(self) -> Any:
        """Refuse a file that is too large before it is read."""
        file = self.cleaned_data["file"]
        if (file.size or 0) > MOST_BYTES:
            raise forms.ValidationError(f"A file has at most {MOST}.", code="file_too_large")
        return file
