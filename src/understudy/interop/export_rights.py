"""What an exported model owes to the people it was trained on: refusals, and a signed manifest beside it.

Signing comes before naming: a model is signed under a temporary name, so that an export that is killed leaves
no unsigned model under the name that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from understudy.errors import ConsentError
from understudy.events import Event, Saved, Warned
from understudy.provenance.audit import note
from understudy.provenance.claim import Edit
from understudy.provenance.consent import ConsentStore
from understudy.provenance.labels import file_hash
from understudy.provenance.manifest import sign_staged
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
        self.weights, self.output, self.settings = weights, output, sign
        self.digest = file_hash(weights)
        self.audit = ""
        self.manifests: list[str] = []
        self.remarks: list[str] = []
        self.digests = tuple(digest for each in said.values() if len(digest := each.get("faces", "")) == 64)

    def begin(self) -> Iterator[Event]:
        """One sentence if the model was trained without a record."""
        if self.rights.lane == "none":
            yield Warned(
                message="this model was trained without a consent record of the people in it, and its card "
                "says so; whoever merges with it gets the label AI MODIFIED on every frame. To change that: "
                "understudy consent attach FACES --record ID, and train on"
            )

    def sign(self, model: Path, card: Path | None = None) -> None:
        """Signs a model's file before it gets its name; its manifest lies beside that name.

        Args:
            model: the file under a temporary name in the folder of ``output``.
            card: its model card, of which the manifest gives the hash.

        Raises:
            OutputError: it cannot be signed; nobody may then give it its name.
        """
        self._sign(model, self.output, {"model_card_sha256": file_hash(card)} if card else {})

    def sign_all(self, files: Iterable[Path]) -> None:
        """Signs the files of a folder that has a temporary name; each has its manifest beside it."""
        for file in files:
            self._sign(file, file, {})

    def end(self) -> Iterator[Event]:
        """Says where the manifests are and what went otherwise than wanted."""
        for manifest in self.manifests:
            yield Saved(
                path=self.output.parent / manifest if self.output.is_file() else self.output / manifest
            )
        for remark in dict.fromkeys(self.remarks):
            yield Warned(message=remark)

    def _sign(self, staged: Path, output: Path, parameters: Mapping[str, str]) -> None:
        if not self.audit:
            self._log()
        edit = Edit(
            operation="model",
            references=self.digests,
            model=name_of_model(self.weights),
            model_hash=self.digest,
            parameters=parameters,
            consent=self.rights.records,
            lane=self.rights.lane,
            audit=self.audit,
        )
        signed = sign_staged(staged, output, edit, self.settings)
        assert signed.manifest is not None, "no model carries its manifest inside"
        self.manifests.append(signed.manifest.name)
        self.remarks += signed.remarks

    def _log(self) -> None:
        """A line in the audit log, whose hash goes into the manifests."""
        facts = {
            "output": self.output.name,
            "model": self.digest,
            "lane": self.rights.lane,
            "records": list(self.rights.records),
        }
        self.audit, remark = note("export", facts)
        self.remarks += [remark] if remark else []


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
