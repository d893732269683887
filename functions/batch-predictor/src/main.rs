//! Entry point: reads the configuration, creates the ports once and passes events to the handler.

use batch_predictor::BatchPredictor;
use batch_predictor::config::Config;
use dataset::ReadOptions;
use model::Bundle;
use platform::telemetry::{Metric, emit};
use platform::{lambda, telemetry};
use registry::{Models, Registry, Reload};
use serde_json::json;

fn main() -> Result<(), lambda::StartError> {
    // Before the runtime, whose threads take memory of their own.
    dataset::decode_if_asked();
    serve()
}

#[tokio::main]
async fn serve() -> Result<(), lambda::StartError> {
    telemetry::init(module_path!());
    let config = Config::from_env()?;
    let aws = store::aws_config("tripcast-batch-predictor").await;
    let registry = Registry::new(config.model_store.open_with(&aws));
    let predictor = BatchPredictor::new(
        config.data_store.open_with(&aws),
        config.data_store.bucket().map(String::from),
        Models::new(registry, config.model_refresh, emit_reload),
        config.taxi,
    )
    .reading(ReadOptions { utc_times: config.utc_times, ..ReadOptions::default() });
    lambda::run(move |event| {
        let predictor = predictor.clone();
        async move { predictor.handle(event).await }
    })
    .await
}

fn emit_reload(reload: Reload, bundle: &Bundle) {
    let metric = match reload {
        Reload::Done => Metric::ModelReloads,
        Reload::Failed => Metric::ModelReloadFailures,
    };
    emit("batch-predictor", &[(metric, 1.0)], &json!({"bundle": bundle.id()}));
}
