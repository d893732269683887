//! Entry point: reads the configuration, creates the ports once and passes events to the handler.

use std::sync::Arc;

use monitor::Monitor;
use monitor::config::Config;
use platform::topic::SnsTopic;
use platform::{lambda, telemetry};

#[tokio::main]
async fn main() -> Result<(), lambda::StartError> {
    telemetry::init(module_path!());
    let config = Config::from_env()?;
    let aws = store::aws_config("tripcast-monitor").await;
    let (data, models) = (config.data_store.open_with(&aws), config.model_store.open_with(&aws));
    let stores = [config.data_store, config.model_store].map(|store| store.to_string());
    let mut monitor =
        Monitor::new(data, models, config.days).named(&stores[0], &stores[1]).sending_to(config.receiver);
    if !config.alarm_topic_arn.is_empty() {
        monitor = monitor.publishing_to(Arc::new(SnsTopic::new(&aws, config.alarm_topic_arn)));
    }
    lambda::run(move |event| {
        let monitor = monitor.clone();
        async move { monitor.handle(event).await }
    })
    .await
}
