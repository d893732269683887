//! Reads secrets, which stand in no configuration.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use model::chain;

use crate::client::{ATTEMPT, CALL, timeouts};

/// Why a secret could not be read; its text is in no error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading the secret {arn}: {detail}")]
pub struct SecretError {
    arn: String,
    detail: String,
}

/// Reads the text of a secret of Secrets Manager by its ARN.
///
/// # Errors
/// [`SecretError`] if the secret cannot be read, or holds bytes.
pub async fn read_secret(config: &SdkConfig, arn: &str) -> Result<String, SecretError> {
    let failed = |detail| SecretError { arn: arn.into(), detail };
    let config =
        aws_sdk_secretsmanager::config::Builder::from(config).timeout_config(timeouts(ATTEMPT, CALL));
    let call = Client::from_conf(config.build()).get_secret_value().secret_id(arn);
    let read = call.send().await.map_err(|error| failed(chain(&error)))?;
    read.secret_string.ok_or_else(|| failed("expected text, found bytes".into()))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_secret_is_its_text() {
        let (_, config) = testing::serve(|call| {
            let text = if call["SecretId"] == "arn:ours" { r#"{"SecretString": "open"}"# } else { "{}" };
            (StatusCode::OK, text).into_response()
        })
        .await;
        assert_eq!(read_secret(&config, "arn:ours").await.as_deref(), Ok("open"));
        let error = read_secret(&config, "arn:bytes").await.unwrap_err().to_string();
        assert_eq!(error, "reading the secret arn:bytes: expected text, found bytes");
    }

    #[tokio::test]
    async fn a_secret_that_may_not_be_read_says_so() {
        let refusal = r#"{"__type": "AccessDeniedException", "message": "not allowed"}"#;
        let (_, config) = testing::serve(move |_| (StatusCode::BAD_REQUEST, refusal).into_response()).await;
        let error = read_secret(&config, "arn:theirs").await.unwrap_err().to_string();
        assert!(error.contains("arn:theirs") && error.contains("not allowed"), "{error}");
    }
}
