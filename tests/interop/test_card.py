"""Model cards beside exported files."""

from __future__ import annotations

from pathlib import Path

from understudy.interop.card import Card, write_with_card


def test_every_format_of_a_model_has_a_card_of_its_own(tmp_path: Path) -> None:
    for name in ("a.onnx", "a.dfm"):
        card = Card(title=f"Face-swapping model as {name}", facts={"what": name}, example="pass\n")
        written = write_with_card(tmp_path / name, [b"weights"], 7, card)
        assert written == (tmp_path / name, tmp_path / f"{name}.md")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dfm", "a.dfm.md", "a.onnx", "a.onnx.md"]
    assert "as a.onnx" in (tmp_path / "a.onnx.md").read_text()
    assert "as a.dfm" in (tmp_path / "a.dfm.md").read_text()
