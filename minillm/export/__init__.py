"""Trained models for other programs: a Hugging Face folder, an adapter for PEFT, a graph for ONNX runtimes."""

from __future__ import annotations

from minillm.export.artifacts import FORMATS, export_artifact
from minillm.export.formats import ONNX_MODEL, export_hf, export_onnx, export_peft

__all__ = ["FORMATS", "ONNX_MODEL", "export_artifact", "export_hf", "export_onnx", "export_peft"]
