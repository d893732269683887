//! Entry point: reads the configuration, creates the ports once and passes events to the handler. With an event as its argument it handles
//! that one, as a task of a container that has more memory and time than a function.

use platform::secret::read_secret;
use platform::{lambda, telemetry};
use retrainer::Retrainer;
use retrainer::config::Config;

fn main() -> Result<(), lambda::StartError> {
    // Before the runtime, whose threads take memory of their own.
    dataset::decode_if_asked();
    serve()
}

#[tokio::main]
async fn serve() -> Result<(), lambda::StartError> {
    telemetry::init(module_path!());
    let mut config = Config::from_env()?;
    let aws = store::aws_config("tripcast-retrainer").await;
    if !config.mlflow_tracking_secret.is_empty() {
        let secret = read_secret(&aws, &config.mlflow_tracking_secret).await;
        config = config.with_secret(secret)?;
    }
    let (data, models) = (config.data_store.open_with(&aws), config.model_store.open_with(&aws));
    let retrainer = Retrainer::new(data, models, config.settings()).tracked_by(config.tracker.clone());
    if let Some(event) = std::env::args_os().nth(1) {
        return lambda::run_once(&event.to_string_lossy(), config.deadline(), |event| async move {
            retrainer.handle(event).await
        })
        .await;
    }
    lambda::run(move |event| {
        let retrainer = retrainer.clone();
        async move { retrainer.handle(event).await }
    })
    .await
}
