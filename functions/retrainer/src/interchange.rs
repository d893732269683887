//! Exports a model for MLflow: an ONNX file, a Python wrapper around it, and the `MLmodel` that names both.

use bytes::Bytes;
use model::Artifact;
use model::artifact::sha256_hex;
use model::onnx::{OnnxError, to_onnx};
use serde_json::json;

const WRAPPER: &str = include_str!("../pyfunc/tripcast_pyfunc.py");
const REQUIREMENTS: &str = "mlflow-skinny\nnumpy\nonnxruntime>=1.21\npandas\n";

/// Returns the files of an MLflow model, by their path inside it.
///
/// # Errors
/// [`OnnxError`] for models without an ONNX form.
pub(crate) fn mlflow_model(artifact: &Artifact) -> Result<Vec<(String, Bytes)>, OnnxError> {
    let onnx = to_onnx(artifact)?;
    // Python caches modules by name: two wrappers in one process need two names.
    let module = format!("tripcast_pyfunc_{}", &sha256_hex(WRAPPER.as_bytes())[..8]);
    // JSON is valid YAML, and quotes whatever YAML needs quoted.
    let document = json!({
        "flavors": {
            "python_function": {
                "loader_module": module,
                "code": "code",
                "data": "model.onnx",
                "env": {"virtualenv": "python_env.yaml"},
                "python_version": "3.11",
            },
            "onnx": {"data": "model.onnx", "providers": ["CPUExecutionProvider"]},
        },
        "metadata": {"target": artifact.lineage.target, "feature_schema": artifact.lineage.feature_schema},
    });
    let environment = json!({"python": "3.11", "dependencies": ["-r requirements.txt"]});
    let pretty =
        |value: &serde_json::Value| Bytes::from(serde_json::to_vec_pretty(value).unwrap_or_default());
    Ok(vec![
        ("model.onnx".into(), onnx.into()),
        (format!("code/{module}.py"), WRAPPER.into()),
        ("requirements.txt".into(), REQUIREMENTS.into()),
        ("python_env.yaml".into(), pretty(&environment)),
        ("MLmodel".into(), pretty(&document)),
    ])
}
