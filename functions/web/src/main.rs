//! Entry point: reads the configuration, creates the ports once and passes events to the router.

use platform::{lambda, telemetry};
use registry::{Models, Registry};
use web::config::Config;
use web::{App, emit_reload, event, router};

#[tokio::main]
async fn main() -> Result<(), lambda::StartError> {
    telemetry::init(module_path!());
    let config = Config::from_env()?;
    let aws = store::aws_config("tripcast-web").await;
    let registry = Registry::new(config.model_store.open_with(&aws));
    let models = Models::new(registry.clone(), config.model_refresh, emit_reload);
    let router = router(App::new(registry, models));
    lambda::run(move |event| event::answer(router.clone(), event)).await
}
