//! Wiring of the scorer: configuration in, ports made once, events to the handler.

use platform::models::Models;
use platform::queue::SqsSink;
use platform::registry::Registry;
use platform::shadows::Shadows;
use platform::{lambda, telemetry};
use scorer::Scorer;
use scorer::answers::Shadowed;
use scorer::config::Config;

#[tokio::main]
async fn main() -> Result<(), lambda::StartError> {
    telemetry::init();
    let config = Config::from_env()?;
    let aws = platform::aws_config("tripcast-scorer").await;
    let registry = Registry::new(config.model_store.open_with(&aws));
    let shadows = Shadows::new(registry.clone(), config.model_refresh);
    let scorer = Scorer::new(
        Models::new(registry, config.model_refresh, "scorer"),
        SqsSink::new(&aws, config.predictions_queue_url),
        SqsSink::new(&aws, config.dlq_url),
        config.deadline_reserve,
    )
    .shadowed_by(Shadowed::new(shadows, config.data_store.open_with(&aws)));
    lambda::run(move |event| {
        let scorer = scorer.clone();
        async move { scorer.handle(event).await }
    })
    .await
}
