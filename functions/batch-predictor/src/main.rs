//! Wiring of the batch predictor: configuration in, ports made once, events to the handler.

use batch_predictor::BatchPredictor;
use batch_predictor::config::Config;
use platform::models::Models;
use platform::registry::Registry;
use platform::{lambda, telemetry};

#[tokio::main]
async fn main() -> Result<(), lambda::StartError> {
    telemetry::init();
    let config = Config::from_env()?;
    let aws = platform::aws_config("tripcast-batch-predictor").await;
    let registry = Registry::new(config.model_store.open_with(&aws));
    let predictor = BatchPredictor::new(
        config.data_store.open_with(&aws),
        config.data_store.bucket().map(String::from),
        Models::new(registry, config.model_refresh, "batch-predictor"),
        config.taxi,
    );
    lambda::run(move |event| {
        let predictor = predictor.clone();
        async move { predictor.handle(event).await }
    })
    .await
}
