//! Entry point: reads the configuration, loads the model once and passes events to the scorer.

use std::error::Error;

use {{crate_name}}::Scorer;
use {{crate_name}}::learning::Model;
use platform::env::{Env, Variable};
use platform::queue::SqsSink;
use platform::{lambda, telemetry};
use store::{Get, ObjectKey, StoreUri};

/// Every variable that the function reads.
const VARIABLES: [Variable; 4] = [
    Variable {
        name: "MODEL_STORE",
        meaning: "store of the model: s3://bucket or a directory",
        default: None,
    },
    Variable { name: "MODEL_KEY", meaning: "key of the model in it", default: Some("{{target}}.bin") },
    Variable { name: "PREDICTIONS_QUEUE_URL", meaning: "queue of predictions", default: None },
    Variable { name: "DLQ_URL", meaning: "URL of the queue of rejected messages", default: None },
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    telemetry::init(module_path!());
    let env = Env::of_process(&VARIABLES)?;
    let aws = store::aws_config("{{project-name}}").await;
    let models = env.get::<StoreUri>("MODEL_STORE")?.open_with(&aws);
    let key = ObjectKey::new(env.get::<String>("MODEL_KEY")?)?;
    let model = Model::from_bytes(&models.get(&key, Get::default()).await?.bytes)?;
    let predictions = SqsSink::new(&aws, env.get("PREDICTIONS_QUEUE_URL")?);
    let scorer = Scorer::new(model, predictions, SqsSink::new(&aws, env.get("DLQ_URL")?));
    lambda::run(move |event| {
        let scorer = scorer.clone();
        async move { scorer.handle(event).await }
    })
    .await?;
    Ok(())
}
