"""Forms of a pitch's folder: a file, a question, an answer."""

from django import forms

from pitches.attachments import ACCEPTED, LARGEST, MOST_FILES, FileKind
from pitches.services.thread import LONGEST_MESSAGE


class AttachmentForm(forms.Form):
    """A file to attach; what it must be is checked by the service."""

    file = forms.FileField(
        label="A file to attach",
        max_length=None,
        allow_empty_file=True,  # the service says it in the same words everywhere
        widget=forms.FileInput({"accept": ACCEPTED, "form": "attach", "data-largest": str(LARGEST)}),
        help_text=f"{', '.join(FileKind.labels[:-1])} or {FileKind.labels[-1]}, at most {LARGEST // 1_000_000} MB. "
        f"Up to {MOST_FILES} files.",
        error_messages={"required": "Choose a file first."},
    )


class MessageForm(forms.Form):
    """What is asked or answered."""

    body = forms.CharField(
        label="Question",
        max_length=LONGEST_MESSAGE,
        widget=forms.Textarea({"rows": 3}),
        error_messages={"required": "Write something."},
    )
    question = forms.IntegerField(required=False, widget=forms.HiddenInput)
