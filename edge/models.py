"""Networks in files: ONNX Runtime's sessions, and what a file must be to be one of ours."""

from pathlib import Path

import onnxruntime

NAME = 100
"""Signs that a model's name may have: it is in every read."""


class ModelError(ValueError):
    """A file is no model that can be used; says which file, why, and what to do."""


def session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session of ``threads`` threads on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads wait asleep: several cameras and flows share the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def opened(model: Path, threads: int, kind: str, maker: str) -> onnxruntime.InferenceSession:
    """The session of a model of this project's own: one whose file says that it is of ``kind``.

    ``maker`` is the module that makes such files. Raises ModelError.
    """
    cure = f"give one that `python -m {maker}` made"
    if not model.is_file():
        raise ModelError(f"{model}: there is no such file; {cure}")
    try:
        found = session(model, threads)
    except Exception as error:  # ONNX Runtime raises classes of its own, without a common one
        told = f"{model} is no ONNX model that can be loaded ({error}); {cure}"
        raise ModelError(told) from error
    told = found.get_modelmeta().custom_metadata_map
    if told.get("kind") != kind:
        raise ModelError(f"{model} is a model of something else than {kind}; {cure}")
    if not is_name(told.get("name", "")):
        raise ModelError(f"{model} has no name of one word, of {NAME} signs at most; {cure}")
    return found


def is_name(text: str) -> bool:
    """Whether a model can be named so: by one word that is not too long."""
    return 0 < len(text) <= NAME and not any(sign.isspace() for sign in text)
