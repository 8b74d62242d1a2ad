"""A trained mark whose two networks the user has: TrustMark, Video Seal, or one of their own, as ONNX files.

Understudy brings no such weights and fetches none. Both files are named with their SHA-256 in the settings,
so that a run can be repeated and nothing else is loaded under their names. ONNX holds a graph and numbers and
runs no code of a stranger; PyTorch's own formats are refused.

The encoder takes a picture (1, 3, S, S) and the bits (1, N), and gives the marked picture or what is to be
added; the decoder takes a picture and gives N values, positive for 1. What is added is stretched over the
frame. The bits are those of ``provenance.codeword``, repeated or cut to N and turned by a secret pad: under
another key each of them is a fair coin, so the p-value is binomial and holds whatever the decoder prefers.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from jaxtyping import Float32
from scipy.special import bdtrc

from understudy.contracts import Context, Frame
from understudy.errors import ConfigError, WeightsError
from understudy.image.color import paste_rect, rect_to_rgb
from understudy.provenance.codeword import BITS, SYMBOLS, bits_of, number_of, read_bits, symbols_of
from understudy.provenance.labels import file_hash
from understudy.provenance.mark import MarkKeys
from understudy.provenance.marker import SMALLEST_P, Reading
from understudy.watermarks import WATERMARKS, WatermarkSettings


@WATERMARKS.register("network")
@dataclass(frozen=True, kw_only=True)
class Network(WatermarkSettings):
    """A trained mark (TrustMark, Video Seal) from two ONNX files that the user has."""

    algorithm: str = "org.understudy.network"
    """Name of the method for the manifest, as C2PA lists it: ``com.adobe.trustmark.Q``."""
    encoder: str = ""
    """ONNX file of the network that marks."""
    encoder_sha256: str = ""
    """Its hash; the error that comes without it says what it is."""
    decoder: str = ""
    """ONNX file of the network that reads."""
    decoder_sha256: str = ""
    """Its hash."""
    side: int = 256
    """Pixels of the networks' pictures."""
    bits: int = 100
    """Bits that they carry, 64 or more; from 192 on with our code that mends errors."""
    black: float = -1.0
    """Value of black: -1 (TrustMark) or 0 (Video Seal); white is 1."""
    gives: Literal["picture", "change"] = "picture"
    """Whether the encoder gives the marked picture or what is to be added to it."""
    strength: float = 1.0
    """Multiplies what is added."""

    weights: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.bits < BITS:
            raise ConfigError(f"bits: wanted {BITS} or more, got {self.bits}")

    def build(self, context: Context) -> NetworkMarker:
        """Check the files and load them.

        Raises:
            WeightsError: a file is missing, of another kind, or not what its hash says.
        """
        encoder = _session(self.encoder, self.encoder_sha256, "encoder")
        decoder = _session(self.decoder, self.decoder_sha256, "decoder")
        key = context.given.get("mark_key")
        return NetworkMarker(self, encoder, decoder, MarkKeys().load() if key is None else key)


def _session(name: str, digest: str, what: str) -> Any:  # noqa: ANN401  # onnxruntime may be absent
    if not name:
        raise WeightsError(
            f"watermark.{what}: wanted the ONNX file of the mark's {what}, got none; understudy brings no "
            "weights for this mark: export them from the project that you have them from, or use the mark "
            "'spread', which needs none"
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise WeightsError(f"watermark.{what}: there is no file {path}; check the name")
    if path.suffix.lower() != ".onnx":
        raise WeightsError(
            f"watermark.{what}: wanted an ONNX file, got {path.name}; other formats can run a stranger's "
            "code: export it once with torch.onnx.export where you trust it"
        )
    found = file_hash(path)
    if found != digest.lower():
        wanted = f"SHA-256 {digest}" if digest else f"its SHA-256 in {what}_sha256"
        raise WeightsError(f"watermark.{what}: wanted {wanted}, and {path.name} has {found}")
    try:
        runtime = importlib.import_module("onnxruntime")
    except ModuleNotFoundError:
        raise WeightsError(
            "this mark runs on onnxruntime, which is not installed: pip install 'understudy[onnx]'"
        ) from None
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise WeightsError(f"watermark.{what}: {path.name} cannot be loaded: {error}") from error
        raise


class NetworkMarker:
    """Marks and reads with two networks; see ``provenance.marker.Marker``."""

    def __init__(self, settings: Network, encoder: Any, decoder: Any, key: bytes) -> None:  # noqa: ANN401  # onnxruntime has no types
        self.settings, self.encoder, self.decoder = settings, encoder, decoder
        self.algorithm = settings.algorithm
        noise = hashlib.shake_256(b"understudy mark, pad\0" + key).digest(settings.bits)
        self.pad = (np.frombuffer(noise, np.uint8) & 1).astype(np.int8) * 2 - 1

    def sent(self, number: int) -> np.ndarray:
        """The signs that are sent for a number, before the pad."""
        coded = self.settings.bits >= SYMBOLS
        signs = symbols_of(number) if coded else bits_of(number).astype(np.int8) * 2 - 1
        return np.resize(signs, self.settings.bits)

    def begin(self, number: int) -> Callable[[Frame], Frame]:
        """See ``Marker``."""
        secret = ((self.sent(number) * self.pad + 1) // 2).astype(np.float32)[None]
        names = self._inputs(self.encoder, 2, "encoder")

        def stamp(frame: Frame) -> Frame:
            rgb = rect_to_rgb(frame, 0, 0, frame.width, frame.height)
            small = self._small(rgb)
            (out,) = self.encoder.run(None, dict(zip(names, (small, secret), strict=True)))[:1]
            change = out - small if self.settings.gives == "picture" else out
            added = np.moveaxis(change[0], 0, -1) * (self.settings.strength / (1.0 - self.settings.black))
            wide = cv2.resize(
                np.ascontiguousarray(added), (frame.width, frame.height), interpolation=cv2.INTER_LINEAR
            )
            return paste_rect(frame, 0, 0, np.clip(rgb + wide, 0.0, 1.0).astype(np.float32))

        return stamp

    def gatherer(self) -> NetworkGatherer:
        """See ``Marker``."""
        return NetworkGatherer(self)

    def hear(self, frame: Frame) -> np.ndarray:
        """What the decoder makes of a frame, the pad taken off: N values, positive for 1."""
        small = self._small(rect_to_rgb(frame, 0, 0, frame.width, frame.height))
        (name,) = self._inputs(self.decoder, 1, "decoder")
        values = np.asarray(self.decoder.run(None, {name: small})[0], np.float64).reshape(-1)
        if len(values) != self.settings.bits:
            raise WeightsError(
                f"watermark.bits: wanted {self.settings.bits}, the decoder gives {len(values)}"
            )
        return values * self.pad

    def _small(self, rgb: Float32[np.ndarray, "h w 3"]) -> np.ndarray:
        side = self.settings.side
        small = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
        scaled = small * (1.0 - self.settings.black) + self.settings.black
        return np.moveaxis(scaled, -1, 0)[None].astype(np.float32)

    @staticmethod
    def _inputs(session: Any, count: int, what: str) -> list[str]:  # noqa: ANN401  # onnxruntime has no types
        names = [each.name for each in session.get_inputs()]
        if len(names) != count:
            raise WeightsError(f"watermark.{what}: wanted {count} inputs, it has {len(names)}: {names}")
        return names


class NetworkGatherer:
    """Adds up what the decoder hears; see ``provenance.marker.Gatherer``."""

    def __init__(self, marker: NetworkMarker) -> None:
        self.marker = marker
        self.frames = 0
        self.heard = np.zeros(marker.settings.bits)

    def add(self, frame: Frame) -> None:
        """Takes a frame in."""
        self.heard += self.marker.hear(frame)
        self.frames += 1

    def read(self, known: Collection[int] = ()) -> Reading:
        """The likeliest number."""
        count = self.marker.settings.bits
        coded = count >= SYMBOLS
        parts = np.resize(np.arange(SYMBOLS if coded else BITS), count)
        soft = np.bincount(parts, weights=self.heard)
        bits = read_bits(soft) if coded else (soft > 0).astype(np.uint8)
        number = number_of(bits)
        answers: list[tuple[float, int, int | None, bool]] = [(1.0, 0, None, False)]
        if number is not None:
            answers.append((*self._chance(number, 2.0**33), number, number in known))
        answers += [(*self._chance(each, 2.0 * len(known)), each, True) for each in known]
        p_value, agreed, number, expected = min(answers, key=lambda answer: answer[0])
        score = (2.0 * agreed - count) / count**0.5
        return Reading(number=number, p_value=p_value, score=score, frames=self.frames, known=expected)

    def search(self, known: Collection[int] = ()) -> Reading:
        """The networks find crops themselves, or not at all."""
        return self.read(known)

    def _chance(self, number: int, tries: float) -> tuple[float, int]:
        """Chance that so many fair coins agree with a number in one of some tries, and how many agreed."""
        count = self.marker.settings.bits
        agreed = int((self.heard * self.marker.sent(number) > 0).sum())
        chance = float(bdtrc(agreed - 1, count, 0.5)) if agreed else 1.0
        return min(1.0, max(SMALLEST_P, chance * tries)), agreed
