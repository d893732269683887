//! Entry point: reads the configuration, creates the ports once and passes events to the handler.

use model::{Bundle, chain};
use platform::queue::SqsSink;
use platform::stream::KinesisSink;
use platform::telemetry::{Metric, emit};
use platform::{lambda, telemetry};
use registry::{Models, Registry, Reload, Shadows};
use scorer::Scorer;
use scorer::config::Config;
use scorer::profiles::ProfileWriter;
use scorer::shadow::ShadowScorer;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), lambda::StartError> {
    telemetry::init(module_path!());
    let config = Config::from_env()?;
    let aws = store::aws_config("tripcast-scorer").await;
    let registry = Registry::new(config.model_store.open_with(&aws));
    let shadows = Shadows::new(registry.clone(), config.model_refresh);
    let data = config.data_store.open_with(&aws);
    let profiles = ProfileWriter::new(data.clone());
    let mut scorer = Scorer::new(
        Models::new(registry, config.model_refresh, emit_reload),
        SqsSink::new(&aws, config.predictions_queue_url),
        SqsSink::new(&aws, config.rejects_queue_url),
        config.deadline_reserve,
    )
    // Counting takes no time; challengers may take all that is left.
    .observed_by(profiles.clone())
    .observed_by(ShadowScorer::new(shadows, data).keeping_all(config.keep_answers));
    if !config.predictions_stream.is_empty() {
        scorer = scorer.with_stream(KinesisSink::new(&aws, config.predictions_stream));
    }
    lambda::on_shutdown(move || async move {
        if let Err(error) = profiles.flush().await {
            tracing::warn!(error_message = chain(&error), "the last profile was not stored");
        }
    })
    .await;
    lambda::run(move |event| {
        let scorer = scorer.clone();
        async move { scorer.handle(event).await }
    })
    .await
}

fn emit_reload(reload: Reload, bundle: &Bundle) {
    let metric = match reload {
        Reload::Done => Metric::ModelReloads,
        Reload::Failed => Metric::ModelReloadFailures,
    };
    emit("scorer", &[(metric, 1.0)], &json!({"bundle": bundle.id()}));
}
