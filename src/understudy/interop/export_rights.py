"""What an exported model owes to the people it was trained on: refusals, and a signed manifest beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from understudy.errors import ConsentError
from understudy.events import Event, Saved, Warned
from understudy.provenance.audit import note
from understudy.provenance.claim import Edit
from understudy.provenance.consent import ConsentStore
from understudy.provenance.labels import file_hash
from understudy.provenance.manifest import sign_file
from understudy.provenance.pictures import require_signing
from understudy.provenance.rights import Rights, name_of_model, said_by_model, standing_of_model
from understudy.provenance.signer import SigningSettings
from understudy.provenance.standing import require_not_withdrawn


class ExportRights:
    """The rights of one export.

    Args:
        weights: the swapper's weight file.
        output: the file or folder to be.
        sign: with which key it is signed.

    Raises:
        ConsentError: a record was withdrawn, has ended, or does not permit giving the model on.
        OutputError: it could not be signed.
    """

    def __init__(self, weights: Path, output: Path, sign: SigningSettings | None) -> None:
        said = said_by_model(weights)
        standings = tuple(standing_of_model(said.get(name), weights) for name in ("source", "target"))
        self.rights = Rights(standings=standings)
        require_not_withdrawn(self.rights.records, weights)
        _require_release(self.rights, weights)
        require_signing(sign)
        self.weights, self.output, self.sign = weights, output, sign
        self.digests = tuple(digest for each in said.values() if len(digest := each.get("faces", "")) == 64)

    def begin(self) -> Iterator[Event]:
        """One sentence if the model was trained without a record."""
        if self.rights.lane == "none":
            yield Warned(
                message="this model was trained without a consent record of the people in it, and its card "
                "says so; whoever merges with it gets the label AI MODIFIED on every frame. To change that: "
                "understudy consent attach FACES --record ID, and train on"
            )

    def end(self) -> Iterator[Event]:
        """Signs what was written: a manifest beside every file, bound to its bytes."""
        files = [self.output] if self.output.is_file() else sorted(self.output.iterdir())
        models = [path for path in files if path.suffix in (".onnx", ".dfm", ".safetensors", ".npy", ".dat")]
        digest = file_hash(self.weights)
        facts = {
            "output": self.output.name,
            "model": digest,
            "lane": self.rights.lane,
            "records": list(self.rights.records),
        }
        head, remark = note("export", facts)
        for path in models:
            edit = Edit(
                operation="model",
                references=self.digests,
                model=name_of_model(self.weights),
                model_hash=digest,
                parameters=self._card(path),
                consent=self.rights.records,
                lane=self.rights.lane,
                audit=head,
            )
            signed = sign_file(path, edit, self.sign)
            assert signed.manifest is not None, "no model carries its manifest inside"
            yield Saved(path=signed.manifest)
            for each in (*signed.remarks, remark):
                if each:
                    yield Warned(message=each)

    def _card(self, path: Path) -> dict[str, str]:
        card = path.with_suffix(".md")
        return {"model_card_sha256": file_hash(card)} if card.is_file() else {}


def _require_release(rights: Rights, place: Path) -> None:
    store = ConsentStore()
    for standing in rights.standings:
        agreement = store.by_hash(standing.record) if standing.record else None
        if agreement and "release" not in agreement.record.permits:
            permitted = ", ".join(agreement.record.permits)
            raise ConsentError(
                f"{place}: consent record {agreement.record.id} permits {permitted}, not release; a file for "
                "other programs is made to be given on, so ask for it, and make a new record"
            )
