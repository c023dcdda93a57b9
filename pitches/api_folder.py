"""A pitch's folder for programs: its files, its thread, copies of it, and what is like it; the pages' own rules."""

from typing import Any, ClassVar, cast

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pitches import services
from pitches.access import may
from pitches.api import PitchSerializer
from pitches.forms.copying import typed_last
from pitches.models import Attachment, Pitch, ThreadMessage
from pitches.selectors.folder import attachments_shown, thread_shown
from pitches.selectors.lists import with_ask
from pitches.selectors.pitches import pitches_visible_to
from pitches.selectors.rounds import open_rounds
from pitches.selectors.similar import Match, pitches_found, pitches_similar, words_of_draft, words_of_revision
from pitches.views.attachments import attachment_answer
from teams.access import find_or_404
from teams.models import Scope, User
from teams.selectors import teams_of


def _pitch(request: Request, pk: int, permission: str = "pitches.view_pitch") -> Pitch:
    return find_or_404(pitches_visible_to(request.user), request.user, permission, pk=pk)


def _actor(request: Request) -> User:
    return cast(User, request.user)


# --- Files --------------------------------------------------------------------------------------


class AttachmentSerializer(serializers.ModelSerializer[Attachment]):
    """A file: `size` in bytes, `revisions` the numbers of those that were submitted with it."""

    revisions = serializers.SerializerMethodField()
    in_draft = serializers.SerializerMethodField()

    class Meta:
        model = Attachment
        fields: ClassVar = ["id", "name", "kind", "size", "sha256", "added_at", "in_draft", "revisions"]

    def get_revisions(self, attachment: Attachment) -> list[int]:
        """Return the revisions that pin it."""
        return sorted(pin.revision.number for pin in attachment.pins.all())

    def get_in_draft(self, attachment: Attachment) -> bool:
        """Say whether the next submission will pin it."""
        return attachment.removed_at is None


class UploadSerializer(serializers.Serializer[Any]):
    """A file to attach."""

    file = serializers.FileField(allow_empty_file=True)


class AttachmentList(APIView):
    """The files of a pitch."""

    read_scope = Scope.PITCHES_READ
    write_scope = Scope.PITCHES_WRITE
    parser_classes = (MultiPartParser,)

    @extend_schema(operation_id="pitches_attachments_list", responses=AttachmentSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the files that the caller may open."""
        files = attachments_shown(request.user, _pitch(request, pk)).prefetch_related("pins__revision")
        return Response(AttachmentSerializer(files, many=True).data)

    @extend_schema(request={"multipart/form-data": UploadSerializer}, responses={201: AttachmentSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Attach a file to the draft."""
        pitch = _pitch(request, pk, "pitches.write_pitch")
        upload = UploadSerializer(data=request.data)
        upload.is_valid(raise_exception=True)
        file = upload.validated_data["file"]
        attachment = services.attachment_add(
            actor=_actor(request),
            pitch=pitch,
            name=file.name,
            declared=file.content_type or "",
            content=file.read(),
        )
        return Response(AttachmentSerializer(attachment).data, status=201)


class AttachmentDetail(APIView):
    """One file of a pitch."""

    read_scope = Scope.PITCHES_READ
    write_scope = Scope.PITCHES_WRITE

    @extend_schema(operation_id="pitches_attachments_retrieve", responses={(200, "*/*"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int, attachment: int) -> HttpResponse:
        """Answer with its bytes."""
        files = attachments_shown(request.user, _pitch(request, pk))
        return attachment_answer(get_object_or_404(files, pk=attachment))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int, attachment: int) -> Response:
        """Take it out of the draft; revisions keep it."""
        pitch = _pitch(request, pk, "pitches.write_pitch")
        file = get_object_or_404(Attachment.objects.select_related("pitch"), pk=attachment, pitch=pitch)
        services.attachment_remove(actor=_actor(request), attachment=file)
        return Response(status=204)


# --- Questions ----------------------------------------------------------------------------------


class MessageSerializer(serializers.ModelSerializer[ThreadMessage]):
    """A question, follow-up or answer; `question` is the id of the one that a reply hangs on."""

    author = serializers.SlugRelatedField[Any](slug_field="name", read_only=True)
    revision = serializers.IntegerField(source="revision.number", read_only=True)

    class Meta:
        model = ThreadMessage
        fields: ClassVar = ["id", "kind", "question", "revision", "author", "at", "body"]


class SaySerializer(serializers.Serializer[Any]):
    """What is said; with `question` it is an answer of the team, or a follow-up of the committee."""

    body = serializers.CharField(allow_blank=True, trim_whitespace=False)
    question = serializers.IntegerField(required=False, allow_null=True)


class QuestionList(APIView):
    """The thread between committee and team about a pitch; 404 for who may not read it."""

    read_scope = Scope.PITCHES_READ
    write_scope = Scope.PITCHES_WRITE

    @extend_schema(operation_id="pitches_questions_list", responses=MessageSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """Answer with every message, oldest first."""
        thread = thread_shown(request.user, _pitch(request, pk))
        if thread is None:
            raise Http404
        said = sorted((one for row in thread for one in (row.asked, *row.replies)), key=lambda one: one.pk)
        return Response(MessageSerializer(said, many=True).data)

    @extend_schema(request=SaySerializer, responses={201: MessageSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Ask, follow up or answer."""
        pitch = _pitch(request, pk)
        if thread_shown(request.user, pitch) is None:
            raise Http404
        said = SaySerializer(data=request.data)
        said.is_valid(raise_exception=True)
        number, body = said.validated_data.get("question"), said.validated_data["body"]
        question = get_object_or_404(ThreadMessage, pitch=pitch, pk=number) if number is not None else None
        if question is not None and may(request.user, "pitches.answer_question", pitch):
            message = services.question_answer(actor=_actor(request), pitch=pitch, question=question, body=body)
        else:
            message = services.question_ask(actor=_actor(request), pitch=pitch, question=question, body=body)
        return Response(MessageSerializer(message).data, status=201)


# --- Copies, and what is alike ------------------------------------------------------------------


class CopySerializer(serializers.Serializer[Any]):
    """Where the new draft goes; `continues` says that it goes on with the earlier pitch's work."""

    round = serializers.IntegerField()
    team = serializers.SlugField(help_text="The team's slug.")
    title = serializers.CharField(required=False, allow_blank=True, default="")
    continues = serializers.BooleanField(default=False)


class PitchCopy(APIView):
    """Begin a draft with what a pitch says."""

    write_scope = Scope.PITCHES_WRITE
    parser_classes = (JSONParser,)

    @extend_schema(request=CopySerializer, responses={201: PitchSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Answer with the new draft."""
        source = _pitch(request, pk, "pitches.change_pitch")
        form = CopySerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        pitch = services.pitch_copy(
            actor=_actor(request),
            source=source,
            typed=typed_last(source),
            round_=get_object_or_404(open_rounds(), pk=said["round"]),
            team=get_object_or_404(teams_of(request.user), slug=said["team"]),
            title=said["title"],
            is_continuation=said["continues"],
        )
        return Response(PitchSerializer(with_ask(Pitch.objects.filter(pk=pitch.pk)).get()).data, status=201)


class MatchSerializer(serializers.Serializer[Any]):
    """A pitch that was found. `alike` is from 0 to 1; None for a search. `words` are those found in its `excerpt`."""

    id = serializers.IntegerField(source="pitch.pk")
    number = serializers.CharField(source="pitch.number")
    title = serializers.CharField()
    team = serializers.SlugField(source="pitch.team.slug")
    round = serializers.IntegerField(source="pitch.round_id")
    outcome = serializers.CharField()
    alike = serializers.DecimalField(max_digits=3, decimal_places=2, allow_null=True)
    excerpt = serializers.SerializerMethodField()
    words = serializers.SerializerMethodField()
    may_open = serializers.BooleanField()

    def get_excerpt(self, match: Match) -> str:
        """Return the passage of its text, plain."""
        return "".join(piece.text for piece in match.pieces)

    def get_words(self, match: Match) -> list[str]:
        """Return the words of the passage that were found."""
        return [piece.text for piece in match.pieces if piece.kind == "found"]


class PitchSimilar(APIView):
    """The pitches that are like one, of those that the caller may know."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(operation_id="pitches_similar_list", responses=MatchSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """Answer with up to five, the most alike first; the team's own draft is compared as it was last saved."""
        pitch = _pitch(request, pk)
        if pitch.current is None:
            words = words_of_draft(_pitch(request, pk, "pitches.write_pitch").draft)
        else:
            words = words_of_revision(pitch.current)
        return Response(MatchSerializer(pitches_similar(request.user, words, besides={pk}), many=True).data)


class PitchSearch(APIView):
    """The pitches that hold the words searched for, of those that the caller may know."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(
        operation_id="pitches_search_list",
        parameters=[OpenApiParameter("q", str, required=True, description="Words, as in a web search.")],
        responses=MatchSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Answer with up to fifty, best first."""
        return Response(MatchSerializer(pitches_found(request.user, request.query_params.get("q", "")), many=True).data)
