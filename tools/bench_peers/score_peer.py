"""Scores all test rows with one library; or, beforehand, converts or compiles the model for it.

  prepare RIVAL --folder DIR                           makes the library's own form of DIR/lightgbm.txt
  score RIVAL --folder DIR --features N --x F --out F  writes raw scores as f64, and prints the time of a pass over all
                                                       rows as JSON
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import data
import measure
import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rival:
    """A library: how it loads a model file, and how that file is made from LightGBM's text, if it is another file."""

    file: str
    module: str
    load: Callable[[Path], Predict]
    prepare: Callable[[Path, Path], None] | None = None


def load_lightgbm(file: Path) -> Predict:
    import lightgbm

    model = lightgbm.Booster(model_file=file)
    return lambda rows: model.predict(rows, raw_score=True, num_threads=1)


def load_xgboost(file: Path) -> Predict:
    import xgboost

    model = xgboost.Booster({"nthread": 1}, model_file=file)
    return lambda rows: model.inplace_predict(rows, predict_type="margin")


def prepare_onnx(text: Path, file: Path) -> None:
    import lightgbm
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = lightgbm.Booster(model_file=text)
    inputs = [("x", FloatTensorType([None, model.num_feature()]))]
    converted = onnxmltools.convert_lightgbm(model, initial_types=inputs)
    file.write_bytes(converted.SerializeToString())


def load_onnx(file: Path) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"x": rows})[0]


def load_treelite(file: Path) -> Predict:
    import treelite

    model = treelite.frontend.load_lightgbm_model(str(file))
    return lambda rows: treelite.gtil.predict(model, rows, nthread=1, pred_margin=True)


def prepare_tl2cgen(text: Path, file: Path) -> None:
    import tl2cgen
    import treelite

    model = treelite.frontend.load_lightgbm_model(str(text))
    tl2cgen.export_lib(model, toolchain="gcc", libpath=str(file), params={}, options=["-O3"])


def load_tl2cgen(file: Path) -> Predict:
    import tl2cgen

    predictor = tl2cgen.Predictor(str(file), nthread=1)
    return lambda rows: predictor.predict(tl2cgen.DMatrix(rows), pred_margin=True)


def prepare_lleaves(text: Path, file: Path) -> None:
    import lleaves

    lleaves.Model(model_file=str(text)).compile(cache=str(file), raw_score=True)


def load_lleaves(file: Path) -> Predict:
    import lleaves

    model = lleaves.Model(model_file=str(file.with_name(LIGHTGBM_TEXT)))
    model.compile(cache=str(file), raw_score=True)
    return lambda rows: model.predict(rows, n_jobs=1)


LIGHTGBM_TEXT, XGBOOST_MODEL = "lightgbm.txt", "xgboost.ubj"
RIVALS = {
    "lightgbm": Rival(LIGHTGBM_TEXT, "lightgbm", load_lightgbm),
    "xgboost": Rival(XGBOOST_MODEL, "xgboost", load_xgboost),
    "onnxruntime": Rival("lightgbm.onnx", "onnxruntime", load_onnx, prepare_onnx),
    "treelite-gtil": Rival(LIGHTGBM_TEXT, "treelite", load_treelite),
    "tl2cgen": Rival("lightgbm-tl2cgen.so", "tl2cgen", load_tl2cgen, prepare_tl2cgen),
    "lleaves": Rival("lightgbm.lleaves", "lleaves", load_lleaves, prepare_lleaves),
}


def prepare(rival: Rival, args: argparse.Namespace) -> None:
    """Makes the library's file, and renames it only when complete, so that a partial file is never loaded."""
    made, started = args.folder / f"part-{rival.file}", time.perf_counter()
    made.unlink(missing_ok=True)
    rival.prepare(args.folder / LIGHTGBM_TEXT, made)
    made.rename(args.folder / rival.file)
    measure.tell(wall_s=time.perf_counter() - started)


def score(rival: Rival, args: argparse.Namespace) -> None:
    # Imported before the clock starts, because loading the library is not part of loading the model.
    __import__(rival.module)
    rows, started = data.read_rows(args.x, args.features), time.perf_counter()
    predict = rival.load(args.folder / rival.file)
    load_ms = (time.perf_counter() - started) * 1000
    scores, cpu_s = measure.passes(lambda: predict(rows))
    scores = np.asarray(scores).ravel()
    if len(scores) != len(rows):
        raise RuntimeError(f"{len(scores)} scores for {len(rows)} rows")
    scores.astype("<f8").tofile(args.out)
    measure.tell(cpu_s=cpu_s, rows=len(rows), load_ms=load_ms)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("prepare", "score"))
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--features", type=int, metavar="N", help="columns of the rows")
    parser.add_argument("--x", type=Path)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    {"prepare": prepare, "score": score}[args.verb](RIVALS[args.rival], args)


if __name__ == "__main__":
    main()
