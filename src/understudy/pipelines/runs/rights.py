"""What a training owes to the people in its face sets: refusals, one sentence, and what the model says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.events import Event, Warned
from understudy.faces.faceset import FaceSet
from understudy.provenance.audit import note
from understudy.provenance.rights import one_line, told, usable
from understudy.provenance.standing import Standing
from understudy.training.rundir import SwapperFiles, save_swapper
from understudy.training.task import SwapTask


@dataclass(frozen=True, kw_only=True)
class TrainingRights:
    """On what a training stands."""

    source: Standing
    target: Standing
    folders: tuple[Path, Path]
    """Of the face sets."""
    digests: tuple[str, str]
    """Their hashes."""

    @classmethod
    def of(cls, source: FaceSet, target: FaceSet) -> TrainingRights:
        """The rights of both face sets.

        Raises:
            ConsentError: a record forbids training a replacement; it is named.
        """
        return cls(
            source=usable(source.path),
            target=usable(target.path),
            folders=(source.path, target.path),
            digests=(source.digest(), target.digest()),
        )

    @property
    def records(self) -> list[str]:
        """Hashes of the consent records, each once."""
        return list(dict.fromkeys(each.record for each in (self.source, self.target) if each.record))

    def origin(self) -> dict[str, Any]:
        """For ``origin.toml``: hashes and lanes, never a name."""
        return {"consent": self.records, "lanes": {"source": self.source.lane, "target": self.target.lane}}

    def model(self) -> dict[str, dict[str, str]]:
        """What the model will say of both."""
        pairs = zip(("source", "target"), (self.source, self.target), self.digests, strict=True)
        return {name: told(standing, digest) for name, standing, digest in pairs}

    def begin(self, run: str, step: int) -> Iterator[Event]:
        """One sentence if a face set has no record, and a line in the audit log.

        Args:
            run: name of the run's folder.
            step: from which it goes on.
        """
        if sentence := one_line((self.source, self.target), self.folders):
            yield Warned(message=sentence)
        lanes = [self.source.lane, self.target.lane]
        facts = {"run": run, "step": step, "faces": list(self.digests), "records": self.records}
        _, remark = note("train", {**facts, "lanes": lanes})
        if remark:
            yield Warned(message=remark)


class ConsentedTask(SwapTask):
    """A swapper that says on what its face sets stand."""

    consent: Mapping[str, Mapping[str, str]] = {}
    """See ``TrainingRights.model``."""

    def deliver(self, folder: Path, step: int) -> None:
        """The swapper: weights, settings, and the standing of its face sets."""
        files = SwapperFiles(
            model=self.name,
            settings=self.model_settings,
            weights=dict(self.module.state_dict()),
            step=step,
        )
        consent = {name: dict(said) for name, said in self.consent.items()}
        save_swapper(folder, files, **({"consent": consent} if consent else {}))
